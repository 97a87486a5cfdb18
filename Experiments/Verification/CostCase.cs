using System.Globalization;
using CsvHelper;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Backbones.Ra;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>flops*.csv</c>: MACs and parameters per exit from the published counters. Integers, so they must match exactly.</summary>
internal static partial class CostCase
{
    private const double Exact = 0;

    public static IEnumerable<VerifiedQuantity> Run(string path)
    {
        var rows = CsvTable.Read<Row>(path).Select((row, index) => (Line: index + 2, Row: row)).ToArray();
        return [.. rows.GroupBy(row => row.Row.Network).SelectMany(network =>
        {
            string name = FormattableString.Invariant($"{Path.GetFileName(path)} line {network.First().Line}");
            Row[] exits = [.. network.Select(row => row.Row)];
            return exits[0].IsCovered
                ? CompareNetwork(name, exits)
                : [VerifiedQuantity.NotCovered(name, "flops, params", $"this {exits[0].Arch} variant is not implemented")];
        })];
    }

    private static VerifiedQuantity[] CompareNetwork(string name, Row[] exits)
    {
        using DisposeScope scope = NewDisposeScope();
        ImageKind images = exits[0].Data == "ImageNet" ? ImageKind.ImageNet : ImageKind.Cifar;
        (int side, int classes) = exits[0].Data switch
        {
            "ImageNet" => (224, 1000),
            "cifar100" => (32, 100),
            _ => (32, 10),
        };
        LayerFactory factory = GoldenNetworks.Factory(CPU);
        using MultiExitNetwork network = exits[0].Arch == "RANet"
            ? new RaNet(exits[0].RaNet(), images, classes, factory)
            : new MsdNet(exits[0].MsdNet(), images, classes, factory);
        IReadOnlyList<ExitCost> cost = network.Cost(side).Exits;
        return
        [
            Compared("flops", [.. cost.Select(exit => exit.Macs)], exits.Select(row => row.Flops)),
            Compared("params", [.. cost.Select(exit => exit.Parameters)], exits.Select(row => row.Params)),
            Compared(
                "total_params", [network.Parameters.Sum(parameter => parameter.numel())], exits.Select(row => row.TotalParams).Distinct()),
        ];

        VerifiedQuantity Compared(string quantity, long[] actual, IEnumerable<long> expected) => VerifiedQuantity.Compared(
            name, quantity, GoldenFile.RelativeError(
                [.. actual.Select(value => (double)value)], [.. expected.Select(value => (double)value)]), Exact);
    }

    [CsvRecord]
    internal sealed partial class Row
    {
        [CsvColumn("arch")]
        public required string Arch { get; init; }

        [CsvColumn("data")]
        public required string Data { get; init; }

        [CsvColumn("nBlocks")]
        public required int Blocks { get; init; }

        [CsvColumn("base")]
        public required int? Base { get; init; }

        [CsvColumn("step")]
        public required int Step { get; init; }

        [CsvColumn("stepmode")]
        public required string StepMode { get; init; }

        [CsvColumn("nChannels")]
        public required int Channels { get; init; }

        [CsvColumn("growthRate")]
        public required int Growth { get; init; }

        [CsvColumn("grFactor")]
        public required string GrowthFactors { get; init; }

        [CsvColumn("bnFactor")]
        public required string BottleneckFactors { get; init; }

        [CsvColumn("prune")]
        public required string Prune { get; init; }

        [CsvColumn("reduction")]
        public required double Reduction { get; init; }

        [CsvColumn("bottleneck")]
        public required int? Bottleneck { get; init; }

        [CsvColumn("scale_list")]
        public required string Scales { get; init; }

        [CsvColumn("block_step")]
        public required int? BlockStep { get; init; }

        [CsvColumn("compress_factor")]
        public required double? Compress { get; init; }

        [CsvColumn("flops")]
        public required long Flops { get; init; }

        [CsvColumn("params")]
        public required long Params { get; init; }

        [CsvColumn("total_params")]
        public required long TotalParams { get; init; }

        /// <summary>Whether the network is supported here.</summary>
        public bool IsCovered => (Arch, Data, StepMode, Prune, Bottleneck) is
            ("MSDNet", "cifar10" or "cifar100" or "ImageNet", "even" or "lin_grow", "max" or "min", 0 or 1) or
            ("RANet", "cifar10" or "cifar100" or "ImageNet", "even" or "lg", "", null);

        /// <summary>Everything that distinguishes the networks.</summary>
        public (string, string, int, int?, int, string, int, int, string, string, string, double, int?, string, int?, double?) Network
            => (Arch, Data, Blocks, Base, Step, StepMode, Channels, Growth, GrowthFactors, BottleneckFactors,
                Prune, Reduction, Bottleneck, Scales, BlockStep, Compress);

        public MsdNetOptions MsdNet() => new()
        {
            Blocks = Blocks,
            Base = Base!.Value,
            Step = Step,
            StepMode = StepMode == "even" ? Backbones.StepMode.Even : Backbones.StepMode.LinGrow,
            Channels = Channels,
            Growth = Growth,
            GrowthFactors = Numbers(GrowthFactors),
            Bottleneck = Bottleneck == 1,
            BottleneckFactors = Numbers(BottleneckFactors),
            Prune = Prune == "max" ? Backbones.Msd.Prune.Max : Backbones.Msd.Prune.Min,
            Reduction = Reduction,
        };

        public RaNetOptions RaNet() => new()
        {
            Blocks = Blocks,
            BlockStep = BlockStep!.Value,
            Step = Step,
            StepMode = StepMode == "even" ? Backbones.StepMode.Even : Backbones.StepMode.LinGrow,
            Channels = Channels,
            Growth = Growth,
            GrowthFactors = Numbers(GrowthFactors),
            BottleneckFactors = Numbers(BottleneckFactors),
            ScaleList = Numbers(Scales),
            Compress = Compress!.Value,
            Reduction = Reduction,
        };

        private static int[] Numbers(string list) => [.. list.Split('-').Select(number => int.Parse(number, CultureInfo.InvariantCulture))];
    }
}
