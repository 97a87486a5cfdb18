using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>The smallest MSDNet with two exits.</summary>
internal static class SmallMsdNet
{
    public const int Classes = 10;

    public static MsdNet Build(ScalarType type, Generator random)
        => new(new MsdNetOptions { Blocks = 2, Channels = 4, Growth = 2, StepMode = StepMode.Even }, Classes, new LayerFactory(Initialisation.He, random, type, CPU));
}
