namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>Makes a combination of the gradients of the exits.</summary>
/// <typeparam name="TOptions">The method's own settings.</typeparam>
/// <param name="own">The method's own settings.</param>
/// <param name="random">
/// A generator for a step, by its number: the same at each call, so that a method that keeps its number of steps in its state goes on after
/// a break as without.
/// </param>
public delegate IGradientCombination CombinationBuilder<in TOptions>(TOptions own, Func<long, Generator> random);

/// <summary>A way to combine the gradients of the exits that a configuration can name: PCGrad is one.</summary>
public sealed class CombinationMethod
{
    private readonly Func<object> _defaults;
    private readonly CombinationBuilder<object> _build;

    private CombinationMethod(string name, bool isLinear, Func<object> defaults, CombinationBuilder<object> build)
        => (Name, IsLinear, _defaults, _build) = (name, isLinear, defaults, build);

    /// <summary>Their sum: the gradient of the weighted loss.</summary>
    public static CombinationMethod Sum { get; } = Create<None>("sum", isLinear: true, (_, _) => new GradientSum());

    /// <summary><see cref="Gradients.PcGrad"/>.</summary>
    public static CombinationMethod PcGrad { get; } = Create<PcGradOptions>(
        "pcgrad", isLinear: false, (own, random) => new PcGrad(own.Order == ProjectionOrder.Random ? random : null));

    /// <summary><see cref="Gradients.CaGrad"/>.</summary>
    public static CombinationMethod CaGrad { get; } = Create<CaGradOptions>("cagrad", isLinear: false, (own, _) => new CaGrad(own));

    /// <summary><see cref="Gradients.NashMtl"/>.</summary>
    public static CombinationMethod NashMtl { get; } = Create<NashMtlOptions>("nashMtl", isLinear: false, (own, _) => new NashMtl(own));

    /// <summary>Its name in YAML, which is also that of the group of its own settings.</summary>
    public string Name { get; }

    /// <summary><see cref="IGradientCombination.IsLinear"/> of what it makes.</summary>
    public bool IsLinear { get; }

    /// <summary>A method.</summary>
    /// <typeparam name="TOptions">
    /// A record of its own settings: each property has a default, a <c>[Description]</c> and, if it is a number, a <c>[Range]</c>.
    /// </typeparam>
    /// <param name="name">Its name in YAML: a lower-case letter, then letters and digits.</param>
    /// <param name="isLinear"><see cref="IGradientCombination.IsLinear"/> of what it makes.</param>
    /// <param name="build">Makes the combination.</param>
    public static CombinationMethod Create<TOptions>(string name, bool isLinear, CombinationBuilder<TOptions> build)
        where TOptions : class, new() => new(name, isLinear, () => new TOptions(), (own, random) => build((TOptions)own, random));

    /// <summary>New settings of its own with their defaults, of the type that <see cref="Create"/> was given.</summary>
    public object DefaultOptions() => _defaults();

    /// <summary>Makes the combination.</summary>
    /// <param name="own">Of the type of <see cref="DefaultOptions"/>.</param>
    /// <param name="random">A generator for a step, by its number.</param>
    public IGradientCombination Build(object own, Func<long, Generator> random) => _build(own, random);

    private sealed record None;
}
