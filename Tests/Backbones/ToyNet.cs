using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>The options of <see cref="ToyNet"/>.</summary>
public sealed record ToyNetOptions : IValidatableObject
{
    [Description("Blocks of the network; each ends in an exit")]
    [Range(1, 10)]
    public int Stages { get; init; } = 2;

    [Description("Channels of every block")]
    [Range(1, 64)]
    public int Width { get; init; } = 4;

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Stages > Width)
        {
            yield return new ValidationResult(
                $"stages is {Stages} and width {Width}; a toy is as wide as it is deep", [nameof(Stages), nameof(Width)]);
        }
    }
}

/// <summary>A backbone as an author in another assembly writes it: of public members only.</summary>
internal sealed class ToyNet : ExitHeadNetwork
{
    private readonly ConvolutionChain[] _blocks;

    public ToyNet(ToyNetOptions options, ImageKind images, int classes, LayerFactory factory, ModifierOptions modifiers)
        : base("ToyNet", modifiers, classes)
    {
        _blocks = [.. Enumerable.Range(0, options.Stages).Select(k => ConvolutionChain.Unit(
            factory, k == 0 ? 3 : options.Width, options.Width, kernel: 3, stride: k == 0 ? 4 : 1, padding: 1))];
        foreach (ConvolutionChain unused in _blocks)
        {
            AddExit(factory, images, options.Width);
        }

        register_module("blocks", new Group(_blocks));
        RegisterExits(factory);
    }

    public static Backbone Backbone { get; } = Backbone.Create<ToyNetOptions>(
        "toy",
        options => options.Stages,
        (options, images, classes, factory, modifiers) => new ToyNet(options, images, classes, factory, modifiers));

    protected override Tensor[] Block(int k, Tensor[] features, Pass pass) => [_blocks[k].Forward(features[0], pass)];
}
