using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Backbones.Ra;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>Builds the networks of golden files, in float64, with the file's parameter values.</summary>
internal static class GoldenNetworks
{
    /// <summary>The MSDNet of <c>config/*</c>.</summary>
    public static MsdNet Msd(GoldenFile golden, Device device, ModifierOptions? modifiers = null)
    {
        var options = new MsdNetOptions
        {
            Blocks = golden.Int("config/nBlocks"),
            Base = golden.Int("config/base"),
            Step = golden.Int("config/step"),
            StepMode = golden.Int("config/stepmode") == 0 ? StepMode.Even : StepMode.LinGrow,
            Channels = golden.Int("config/nChannels"),
            Growth = golden.Int("config/growthRate"),
            GrowthFactors = golden.Ints("config/grFactor"),
            Bottleneck = golden.Int("config/bottleneck") != 0,
            BottleneckFactors = golden.Ints("config/bnFactor"),
            Prune = golden.Int("config/prune") == 0 ? Prune.Max : Prune.Min,
            Reduction = golden.Real("config/reduction"),
        };
        return new MsdNet(options, Images(golden), Classes(golden), Factory(device), modifiers);
    }

    /// <summary>The RANet of <c>config/*</c>.</summary>
    public static RaNet Ra(GoldenFile golden, Device device)
    {
        var options = new RaNetOptions
        {
            Blocks = golden.Int("config/nBlocks"),
            BlockStep = golden.Int("config/block_step"),
            Step = golden.Int("config/step"),
            StepMode = golden.Int("config/stepmode") == 0 ? StepMode.Even : StepMode.LinGrow,
            Channels = golden.Int("config/nChannels"),
            Growth = golden.Int("config/growthRate"),
            GrowthFactors = golden.Ints("config/grFactor"),
            BottleneckFactors = golden.Ints("config/bnFactor"),
            ScaleList = golden.Ints("config/scale_list"),
            Compress = golden.Real("config/compress_factor"),
            Reduction = golden.Real("config/reduction"),
        };
        return new RaNet(options, Images(golden), Classes(golden), Factory(device));
    }

    /// <summary>A cheap initialisation of parameters whose values are replaced anyway.</summary>
    public static LayerFactory Factory(Device device) => new(Initialisation.Published, new Generator(1), float64, device);

    /// <summary>Loads the values of <c>state/*</c>.</summary>
    public static void Load(MultiExitNetwork network, GoldenFile golden)
        => network.load_state_dict(golden.KeysUnder("state").ToDictionary(name => name, name => golden[$"state/{name}"]));

    private static ImageKind Images(GoldenFile golden) => golden.Int("config/data") == 2 ? ImageKind.ImageNet : ImageKind.Cifar;

    private static int Classes(GoldenFile golden) => golden.Int("config/num_classes");
}
