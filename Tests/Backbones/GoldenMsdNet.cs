using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>The MSDNet of a golden file, in float64.</summary>
internal static class GoldenMsdNet
{
    /// <summary>Built by <c>config/*</c>, with the values of <c>state/*</c>.</summary>
    public static MsdNet Open(GoldenFile golden)
    {
        MsdNet network = Build(golden);
        network.load_state_dict(golden.KeysUnder("state").ToDictionary(name => name, name => golden[$"state/{name}"]));
        return network;
    }

    /// <summary>Built by <c>config/*</c>, with values of its own.</summary>
    public static MsdNet Build(GoldenFile golden)
    {
        int Value(string key) => (int)golden.Int($"config/{key}");
        int[] Values(string key) => [.. golden[$"config/{key}"].data<long>().ToArray().Select(value => (int)value)];

        var options = new MsdNetOptions
        {
            Blocks = Value("nBlocks"),
            Base = Value("base"),
            Step = Value("step"),
            StepMode = Value("stepmode") == 0 ? StepMode.Even : StepMode.LinGrow,
            Channels = Value("nChannels"),
            Growth = Value("growthRate"),
            GrowthFactors = Values("grFactor"),
            BottleneckFactors = Values("bnFactor"),
            Prune = Value("prune") == 0 ? Prune.Max : Prune.Min,
            Reduction = golden.Real("config/reduction"),
        };
        using var random = new Generator(1);
        return new MsdNet(options, Value("num_classes"), new LayerFactory(Initialisation.Published, random, float64, CPU));
    }
}
