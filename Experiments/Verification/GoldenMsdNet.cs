using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>The MSDNet of a golden file, in float64.</summary>
internal static class GoldenMsdNet
{
    /// <summary>Built by <c>config/*</c>, with the values of <c>state/*</c>.</summary>
    public static MsdNet Open(GoldenFile golden, Device place)
    {
        MsdNet network = Build(golden, place);
        network.load_state_dict(golden.KeysUnder("state").ToDictionary(name => name, name => golden[$"state/{name}"]));
        return network;
    }

    /// <summary>Built by <c>config/*</c>, with values of its own.</summary>
    /// <exception cref="NotCoveredException">It asks for an MSDNet that nothing here builds.</exception>
    public static MsdNet Build(GoldenFile golden, Device place)
    {
        if (golden.Int("config/bottleneck") == 0)
        {
            throw new NotCoveredException("an MSDNet without bottlenecks");
        }

        var options = new MsdNetOptions
        {
            Blocks = golden.Int("config/nBlocks"),
            Base = golden.Int("config/base"),
            Step = golden.Int("config/step"),
            StepMode = golden.Int("config/stepmode") == 0 ? StepMode.Even : StepMode.LinGrow,
            Channels = golden.Int("config/nChannels"),
            Growth = golden.Int("config/growthRate"),
            GrowthFactors = golden.Ints("config/grFactor"),
            BottleneckFactors = golden.Ints("config/bnFactor"),
            Prune = golden.Int("config/prune") == 0 ? Prune.Max : Prune.Min,
            Reduction = golden.Real("config/reduction"),
        };
        return Build(options, golden.Int("config/data") == 2 ? ImageKind.ImageNet : ImageKind.Cifar, golden.Int("config/num_classes"), place);
    }

    /// <summary>An MSDNet with values of its own.</summary>
    public static MsdNet Build(MsdNetOptions options, ImageKind images, int classes, Device place)
    {
        using var random = new Generator(1);
        return new MsdNet(options, images, classes, new LayerFactory(Initialisation.Published, random, float64, place));
    }
}
