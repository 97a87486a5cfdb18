using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>The measurements of <c>imta bench meta-step</c>, as tables or JSON.</summary>
/// <param name="Series">The times of each benchmark case.</param>
/// <param name="Phases">The time shares of the phases, per benchmark case; the reference program has none.</param>
/// <param name="Memory">Per benchmark case; empty if not measured.</param>
internal sealed record MetaStepReport(
    IReadOnlyList<TimingSeries> Series,
    IReadOnlyDictionary<string, IReadOnlyDictionary<string, double>> Phases,
    IReadOnlyDictionary<string, PeakMemory> Memory)
{
    private static readonly string Unrolled = SettingsSchema.YamlName(nameof(MetaGradientMethod.Unrolled));

    /// <summary>Prints the report.</summary>
    public void Show(Settings settings, bool json)
    {
        if (json)
        {
            BenchCommand.Print(new
            {
                HalfBatch = settings.Train.Batch / 2,
                Threads = get_num_threads(),
                Libtorch = TorchLibraries.Version,
                Series = Series.Select(AsObject),
            });
            return;
        }

        Console.WriteLine($"{BenchCommand.Title(settings)}; seconds per half batch, and ratios of the medians");
        ShowTimes();
        ShowPhases();
        if (Memory.Count > 0)
        {
            ShowMemory();
        }
    }

    private object AsObject(TimingSeries one) => new
    {
        one.Name,
        one.Median,
        one.Min,
        one.Max,
        one.Seconds,
        Ratios = Series.ToDictionary(other => other.Name, other => one.Median / other.Median),
        Phases = Phases.GetValueOrDefault(one.Name),
        Memory = Memory.TryGetValue(one.Name, out PeakMemory? memory)
            ? new
            {
                memory.PeakMib,
                memory.AboveMib,
                PeakToUnrolled = RatioToUnrolled(memory, peak => peak.PeakMib),
                AboveToUnrolled = RatioToUnrolled(memory, peak => peak.AboveMib),
            }
            : null,
    };

    private void ShowTimes() => ConsoleTable.Write(
        ["", " median", "    min", "    max", .. Series.Select(other => $"/ {other.Name}")],
        [[.. Series.Select(one => (string[])
        [
            one.Name, .. new[] { one.Median, one.Min, one.Max }.Select(time => BenchCommand.FormatNumber(time, "0.0000")),
            .. Series.Select(other => BenchCommand.FormatNumber(one.Median / other.Median, "0.00")),
        ])]]);

    private void ShowPhases()
    {
        string[] names =
        [
            .. Phases.Values.OrderByDescending(shares => shares.Count).SelectMany(shares => shares.Keys).Distinct()
                .OrderBy(name => name == PhaseTimes.Other),
        ];
        Console.WriteLine();
        Console.WriteLine("phases, in percent of the step, each excluding its nested phases");
        ConsoleTable.Write(
            ["", .. names.Select(name => name.PadLeft(7))],
            [[.. Phases.Select(one => (string[])
            [
                one.Key,
                .. names.Select(name => one.Value.TryGetValue(name, out double share)
                    ? BenchCommand.FormatNumber(100 * share, "0.0")
                    : "      -"),
            ])]]);
    }

    private void ShowMemory()
    {
        Console.WriteLine();
        Console.WriteLine("peak resident memory of a fresh process, in MiB: total, and above its usage before the network was built");
        ConsoleTable.Write(
            ["", " total", "  above", $"total / {Unrolled}", $"above / {Unrolled}"],
            [[.. Memory.Select(one => (string[])
            [
                one.Key, BenchCommand.FormatNumber(one.Value.PeakMib, "0", 6), BenchCommand.FormatNumber(one.Value.AboveMib, "0"),
                RatioText(RatioToUnrolled(one.Value, peak => peak.PeakMib)), RatioText(RatioToUnrolled(one.Value, peak => peak.AboveMib)),
            ])]]);
    }

    private static string RatioText(double? ratio) => ratio is { } value ? BenchCommand.FormatNumber(value, "0.00") : "      -";

    /// <summary>Null if the unrolled step was not measured.</summary>
    private double? RatioToUnrolled(PeakMemory memory, Func<PeakMemory, double> of)
        => Memory.TryGetValue(Unrolled, out PeakMemory? unrolled) ? of(memory) / of(unrolled) : null;
}
