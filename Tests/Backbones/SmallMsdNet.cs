using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>A very small MSDNet with two exits. Every parameter is in use: its last layer has the coarsest scale only.</summary>
internal static class SmallMsdNet
{
    public const int Classes = 10;

    public static MsdNet Build(
        ScalarType type, Generator random, ModifierOptions? modifiers = null, int blocks = 2, bool bottleneck = true)
        => new(
            new MsdNetOptions { Blocks = blocks, Channels = 4, Growth = 2, Bottleneck = bottleneck }, ImageKind.Cifar, Classes,
            new LayerFactory(Initialisation.He, random, type, CPU), modifiers);
}
