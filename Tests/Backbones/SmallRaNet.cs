using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Ra;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>A very small RANet with three exits: one for each resolution.</summary>
internal static class SmallRaNet
{
    public static RaNetOptions Options
        => new()
        {
            Blocks = 1,
            BlockStep = 1,
            Step = 1,
            Channels = 4,
            Growth = 4,
            GrowthFactors = [2, 1, 1],
            BottleneckFactors = [1, 1, 1],
        };

    public static RaNet Build(ScalarType type, Generator random, ModifierOptions? modifiers = null, RaNetOptions? options = null)
        => new(options ?? Options, ImageKind.Cifar, SmallMsdNet.Classes, new LayerFactory(Initialisation.He, random, type, CPU), modifiers);
}
