namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>Creates a combination of the exits' gradients.</summary>
/// <typeparam name="TOptions">The method's own settings.</typeparam>
/// <param name="own">The method's own settings.</param>
/// <param name="random">
/// The generator for a step, by its number: the same at each call, so that a method that keeps its number of steps in its state resumes
/// after an interruption as if there had been none.
/// </param>
public delegate IGradientCombination CombinationBuilder<in TOptions>(TOptions own, Func<long, Generator> random);

/// <summary>Settings of a method that has none of its own.</summary>
public sealed record NoOptions;

/// <summary>A way to combine the exits' gradients that a configuration can name, such as PCGrad.</summary>
public sealed class CombinationMethod
{
    private readonly Func<object> _defaults;
    private readonly CombinationBuilder<object> _build;

    private CombinationMethod(string name, bool isLinear, bool byExit, Func<object> defaults, CombinationBuilder<object> build)
        => (Name, IsLinear, IsByExit, _defaults, _build) = (name, isLinear, byExit, defaults, build);

    /// <summary>The sum of the exits' gradients: the gradient of the weighted loss.</summary>
    public static CombinationMethod Sum { get; } = Create<NoOptions>(
        "sum", isLinear: true, (_, _) => new GradientSum(), byExit: false);

    /// <summary><see cref="Gradients.PcGrad"/>.</summary>
    public static CombinationMethod PcGrad { get; } = Create<PcGradOptions>(
        "pcgrad", isLinear: false, (own, random) => new PcGrad(own.Order == ProjectionOrder.Random ? random : null));

    /// <summary><see cref="Gradients.CaGrad"/>.</summary>
    public static CombinationMethod CaGrad { get; } = Create<CaGradOptions>("cagrad", isLinear: false, (own, _) => new CaGrad(own));

    /// <summary><see cref="Gradients.NashMtl"/>.</summary>
    public static CombinationMethod NashMtl { get; } = Create<NashMtlOptions>("nashMtl", isLinear: false, (own, _) => new NashMtl(own));

    /// <summary><see cref="Gradients.DynamicWeightAverage"/>.</summary>
    public static CombinationMethod DynamicWeightAverage { get; } = Create<DynamicWeightAverageOptions>(
        "dwa", isLinear: false, (own, _) => new DynamicWeightAverage(own), byExit: false);

    /// <summary><see cref="UncertaintyWeighting"/>.</summary>
    public static CombinationMethod Uncertainty { get; } = Create<UncertaintyOptions>(
        "uncertainty", isLinear: false, (own, _) => new UncertaintyWeighting(own), byExit: false);

    /// <summary><see cref="Gradients.GradNorm"/>.</summary>
    public static CombinationMethod GradNorm { get; } = Create<GradNormOptions>(
        "gradNorm", isLinear: false, (own, _) => new GradNorm(own));

    /// <summary><see cref="Gradients.LossEqual"/>.</summary>
    public static CombinationMethod LossEqual { get; } = Create<LossEqualOptions>(
        "lossEqual", isLinear: false, (own, _) => new LossEqual(own), byExit: false);

    /// <summary>The last exit's gradient alone.</summary>
    public static CombinationMethod Last { get; } = Create<NoOptions>(
        "last", isLinear: false, (_, _) => new LastExitGradient(), byExit: false);

    /// <summary>Its name in YAML, which is also that of the group of its own settings.</summary>
    public string Name { get; }

    /// <summary><see cref="IGradientCombination.IsLinear"/> of its combinations.</summary>
    public bool IsLinear { get; }

    /// <summary>Whether a step holds all exits' gradients at once.</summary>
    public bool IsByExit { get; }

    /// <summary>Defines a method.</summary>
    /// <typeparam name="TOptions">
    /// A record of its own settings: each property has a default, a <c>[Description]</c> and, if it is a number, a <c>[Range]</c>.
    /// </typeparam>
    /// <param name="name">Its name in YAML: a lower-case letter, then letters and digits.</param>
    /// <param name="isLinear"><see cref="IGradientCombination.IsLinear"/> of its combinations.</param>
    /// <param name="build">Creates the combination.</param>
    /// <param name="byExit">Whether a step holds all exits' gradients at once, which the memory estimate counts.</param>
    public static CombinationMethod Create<TOptions>(string name, bool isLinear, CombinationBuilder<TOptions> build, bool byExit = true)
        where TOptions : class, new()
        => new(name, isLinear, byExit, () => new TOptions(), (own, random) => build((TOptions)own, random));

    /// <summary>A new instance of its own settings with default values, of the type given to <see cref="Create"/>.</summary>
    public object DefaultOptions() => _defaults();

    /// <summary>Creates the combination.</summary>
    /// <param name="own">Settings of the type of <see cref="DefaultOptions"/>.</param>
    /// <param name="random">The generator for a step, by its number.</param>
    public IGradientCombination Build(object own, Func<long, Generator> random)
        => _build(own, random);
}
