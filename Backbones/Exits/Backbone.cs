namespace Imta.MetaWeight.Backbones.Exits;

/// <summary>The kind of images a network is built for: first layers and heads differ.</summary>
/// <param name="Side">Their height and width, in pixels.</param>
/// <param name="HasStem">
/// Whether the first layer starts with a 7×7 convolution and pooling, both with stride 2, and exits are as wide as their input features, as
/// published for ImageNet.
/// </param>
public sealed record ImageKind(int Side, bool HasStem)
{
    private const int HeadSide = 8; // side of the features that an exit's strides and pooling reduce to 1×1; 5 to 7 work too

    /// <summary>32×32.</summary>
    public static ImageKind Cifar { get; } = new(32, HasStem: false);

    /// <summary>224×224.</summary>
    public static ImageKind ImageNet { get; } = new(224, HasStem: true);

    /// <summary>
    /// The number of scales, each half the side of the one before, from the first features to those that exits read: CIFAR's 32, 16, 8;
    /// ImageNet's 56, 28, 14, 7.
    /// </summary>
    public int Scales
    {
        get
        {
            int scales = 1;
            for (int side = HasStem ? (Side + 3) / 4 : Side; side > HeadSide; side = (side + 1) / 2)
            {
                scales++;
            }

            return scales;
        }
    }

    /// <summary>The images' size, for messages: <c>32×32</c>.</summary>
    public override string ToString() => FormattableString.Invariant($"{Side}×{Side}");
}

/// <summary>Creates a network with its initial parameters.</summary>
/// <typeparam name="TOptions">The settings that determine its shape.</typeparam>
/// <param name="options">Its shape.</param>
/// <param name="images">The images it is for.</param>
/// <param name="classes">C.</param>
/// <param name="factory">Initialises its parameters.</param>
/// <param name="modifiers">IMTA's and BoostNet's changes to its graph.</param>
/// <exception cref="ArgumentException">The options describe a network that cannot be built.</exception>
public delegate ExitHeadNetwork BackboneBuilder<in TOptions>(
    TOptions options, ImageKind images, int classes, LayerFactory factory, ModifierOptions modifiers);

/// <summary>A kind of network that a configuration can name, with options of its own, such as MSDNet or RANet.</summary>
public sealed class Backbone
{
    private readonly Func<object> _defaults;
    private readonly Func<object, int> _exits;
    private readonly BackboneBuilder<object> _build;

    private Backbone(string name, Func<object> defaults, Func<object, int> exits, BackboneBuilder<object> build)
        => (Name, _defaults, _exits, _build) = (name, defaults, exits, build);

    /// <summary>Its name in YAML, which is also the name of its group of options: <c>msdnet</c>.</summary>
    public string Name { get; }

    /// <summary>A backbone.</summary>
    /// <typeparam name="TOptions">
    /// A record of settings: each property has a default, a <c>[Description]</c> and, if it is a number, a <c>[Range]</c>. Rules across
    /// properties are checked by <see cref="System.ComponentModel.DataAnnotations.IValidatableObject"/>, if the record implements it.
    /// </typeparam>
    /// <param name="name">Its name in YAML: a lower-case letter, then letters and digits.</param>
    /// <param name="exits">K, the number of exits of a network with given options.</param>
    /// <param name="build">Creates the network.</param>
    public static Backbone Create<TOptions>(string name, Func<TOptions, int> exits, BackboneBuilder<TOptions> build)
        where TOptions : class, new() => new(
            name,
            () => new TOptions(),
            options => exits((TOptions)options),
            (options, images, classes, factory, modifiers) => build((TOptions)options, images, classes, factory, modifiers));

    /// <summary>New options with default values, of the type given to <see cref="Create"/>.</summary>
    public object DefaultOptions() => _defaults();

    /// <summary>K, the number of exits of a network with given options.</summary>
    /// <param name="options">Options of the type of <see cref="DefaultOptions"/>.</param>
    public int Exits(object options) => _exits(options);

    /// <summary>Creates a network with its initial parameters.</summary>
    /// <param name="options">Its shape, of the type of <see cref="DefaultOptions"/>.</param>
    /// <param name="images">The images it is for.</param>
    /// <param name="classes">C.</param>
    /// <param name="factory">Initialises its parameters.</param>
    /// <param name="modifiers">IMTA's and BoostNet's changes to its graph.</param>
    /// <exception cref="ArgumentException">The options describe a network that cannot be built.</exception>
    public ExitHeadNetwork Build(object options, ImageKind images, int classes, LayerFactory factory, ModifierOptions modifiers)
        => _build(options, images, classes, factory, modifiers);
}
