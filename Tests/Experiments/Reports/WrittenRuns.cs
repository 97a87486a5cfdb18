using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Layers;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Reports;

/// <summary>Folders of runs and sweeps with tables written by hand, and the reports of them.</summary>
internal sealed partial class WrittenRuns : IDisposable
{
    public const int Exits = 3;
    public const int TestImages = 60;
    public static readonly string[] Classes = ["cat", "dog", "ship"];

    private readonly TemporaryFolder _folder = new();

    public string Path => _folder.Path;

    public string In(params string[] parts) => _folder.In(parts);

    public void Dispose() => _folder.Dispose();

    /// <summary>A run that has all its tables.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="name">Its name, as YAML.</param>
    /// <param name="seed">Its seed.</param>
    /// <param name="top1">Accuracy of its first exit; each later one is 0.05 better.</param>
    /// <param name="weighted">Whether its samples' weights differ.</param>
    public void Finished(string folder, string name = "study", int seed = 0, double top1 = 0.6, bool weighted = true)
    {
        Unfinished(folder, name, seed, weighted);
        var files = new EvaluationFiles(In(folder));
        CsvTable.Write(files.Anytime, Enumerable.Range(1, Exits).Select(exit => new AnytimeRow
        {
            Exit = exit,
            Top1 = Top1(top1, exit),
            Top5 = 0.95,
            Loss = 1.0 / exit,
            Samples = TestImages,
            Macs = exit * 1_000_000,
            Parameters = exit * 1000,
        }));
        CsvTable.Write(
            files.Dynamic, from p in Enumerable.Range(1, 4) from exit in Enumerable.Range(1, Exits) select Budget(p, exit, top1));
        CsvTable.Write(
            files.Exits,
            new[] { "all", "head", "medium", "tail" }.SelectMany(
                classes => Enumerable.Range(1, Exits).Select(exit => Exit(classes, exit, top1))));
        CsvTable.Write(
            files.Classes, Classes.SelectMany((name, k) => Enumerable.Range(1, Exits).Select(exit => Class(k, name, exit, top1))));
        CsvTable.Write(
            files.Correlation,
            [
                new CorrelationRow { ExitA = 1, ExitB = 2, Spearman = 0.5 }, new CorrelationRow { ExitA = 1, ExitB = 3, Spearman = -1 },
                new CorrelationRow { ExitA = 2, ExitB = 3, Spearman = null }
            ]);
        CsvTable.Write(
            files.Predictions,
            from image in Enumerable.Range(0, TestImages) from exit in Enumerable.Range(1, Exits) select Prediction(image, exit));
    }

    /// <summary>A run that has the tables of some epochs, and none of its end.</summary>
    public void Unfinished(string folder, string name = "study", int seed = 0, bool weighted = true, int epochs = 2)
    {
        Directory.CreateDirectory(In(folder, "weights"));
        File.WriteAllText(
            In(folder, "config.yaml"),
            string.Create(
                CultureInfo.InvariantCulture,
                $"name: {name}\nseed: {seed}\ndata:\n  dataset: cifar10\nmeta:\n  enabled: {(weighted ? "true" : "false")}\n"));
        File.WriteAllText(In(folder, "environment.json"),
            """{"version": "1", "start": "2026-01-02T03:04:05Z", "command_line": ["train", "study.yaml"], "device": "cpu"}""");
        CsvTable.Write(
            In(folder, "epochs.csv"),
            from epoch in Enumerable.Range(1, epochs) from exit in Enumerable.Range(1, Exits) select Epoch(epoch, exit, weighted));
        CsvTable.Write(In(folder, "timing.csv"), Enumerable.Range(1, epochs).Select(epoch => new TimingRow
        {
            Epoch = epoch,
            TrainSeconds = 10 * epoch,
            TrainImagesPerSecond = 600.0 / epoch,
            ValidationSeconds = 2,
            PeakMemoryMib = 100 * epoch,
        }));
        CsvTable.Write(
            In(folder, "weights", "epoch-0001.csv"),
            from sample in Enumerable.Range(0, 40) from exit in Enumerable.Range(1, Exits) select Weight(sample, exit, weighted: false));
        CsvTable.Write(
            In(folder, "weights", "epoch-0002.csv"),
            from sample in Enumerable.Range(0, 40) from exit in Enumerable.Range(1, Exits) select Weight(sample, exit, weighted));
    }

    /// <summary>A sweep of finished runs.</summary>
    public void Sweep(string folder, int variants, int seeds, int epochs)
    {
        var rows = new List<SweepRunRow>();
        foreach ((int variant, int seed) in from v in Enumerable.Range(0, variants) from s in Enumerable.Range(0, seeds) select (v, s))
        {
            string name = $"variant-{variant}", run = $"runs/{name}/seed-{seed}";
            Finished(System.IO.Path.Combine(folder, run), name, seed, 0.5 + (0.001 * variant));
            Unfinished(System.IO.Path.Combine(folder, run), name, seed, epochs: epochs);
            rows.Add(new SweepRunRow { Variant = name, Seed = seed, Folder = run, State = "done", Message = "" });
        }

        File.WriteAllText(In(folder, "sweep.yaml"), "");
        CsvTable.Write(In(folder, "runs.csv"), rows);
    }

    /// <summary>A sweep of two variants with two seeds each, and a run that failed.</summary>
    public void Sweep(string folder)
    {
        foreach ((string variant, double first, double second) in new[] { ("plain", 0.5, 0.6), ("learned", 0.6, 0.8) })
        {
            Finished(System.IO.Path.Combine(folder, "runs", variant, "seed-0"), variant, 0, first, variant == "learned");
            Finished(System.IO.Path.Combine(folder, "runs", variant, "seed-1"), variant, 1, second, variant == "learned");
        }

        File.WriteAllText(In(folder, "sweep.yaml"), "");
        string runs = string.Concat(new[] { "plain", "learned" }.SelectMany(
            variant => new[] { 0, 1 }.Select(seed => $"{variant},{seed},runs/{variant}/seed-{seed},done,\n")));
        File.WriteAllText(
            In(folder, "runs.csv"), $"variant,seed,folder,state,message\n{runs}wide,0,runs/wide/seed-0,failed,imta: out of memory\n");
        CsvTable.Write(In(folder, "summary.csv"), [
            Summary("plain", "top1", 0.6, exit: 1), Summary("plain", "top1", 0.65, exit: 3), Summary("plain", "top1_mean", 0.6),
            Summary("learned", "top1", 0.6, exit: 1), Summary("learned", "top1", 0.805, exit: 3), Summary(
                "learned", "top1_mean", 0.75), Summary(
                "learned", "dynamic_accuracy", 0.7, p: 20),
        ]);
        CsvTable.Write(
            In(folder, "comparison.csv"),
            [Comparison("top1", 0.155, exit: 3), Comparison("top1_mean", -0.01), Comparison("budget_area", 0.00004)]);
    }

    public ImtaProcess.Result Report(int code, params string[] arguments)
    {
        ImtaProcess.Result result = ImtaProcess.Run(Path, ["report", .. arguments]);
        result.Code.Should().Be(code, result.All);
        return result;
    }

    /// <summary>What a page draws, by the names of its blocks.</summary>
    public Dictionary<string, JsonElement> Blocks(string page)
    {
        string json = Data().Match(File.ReadAllText(In(page))).Groups[1].Value;
        return JsonDocument.Parse(json).RootElement.GetProperty("sections").EnumerateArray()
            .SelectMany(section => section.GetProperty("blocks").EnumerateArray())
                .ToDictionary(block => block.GetProperty("id").GetString()!);
    }

    private static double Top1(double top1, int exit) => Math.Round(top1 + (0.05 * (exit - 1)), 10);

    private static DynamicRow Budget(int p, int exit, double top1) => new()
    {
        P = p,
        Q = p / 20.0,
        Exit = exit,
        Threshold = exit == Exits ? 0 : 0.9f,
        ValidationShare = 1.0 / Exits,
        TestShare = 1.0 / Exits,
        TestAccuracyLeaving = 0.7,
        ValidationAccuracy = 0.7,
        TestAccuracy = top1 + (0.01 * p),
        ValidationMacs = 1_000_000 + (100_000 * p),
        TestMacs = 1_000_000 + (100_000 * p),
    };

    private static ExitRow Exit(string classes, int exit, double top1) => new()
    {
        Classes = classes,
        Exit = exit,
        Samples = TestImages,
        Share = 1.0 / Exits,
        AccuracyLeaving = 0.7,
        Accuracy = Top1(top1, exit),
        Confidence = 0.7,
        Ece = 0.1,
        Auroc = 0.8,
        Premature = 0.2,
        PrematureAuroc = exit == Exits ? null : 0.75,
        Overthinking = 0.1,
        Oracle = 0.9,
    };

    /// <summary>Later classes have more training images.</summary>
    private static ClassRow Class(int k, string name, int exit, double top1) => new()
    {
        Class = k,
        Name = name,
        Group = new[] { "tail", "medium", "head" }[k],
        TrainImages = 10 * (k + 1),
        Exit = exit,
        Samples = TestImages / Classes.Length,
        Share = 1.0 / Exits,
        AccuracyLeaving = 0.7,
        Accuracy = Top1(top1, exit) - (0.1 * k),
    };

    /// <summary>The second exit ranks images as the first does, the third the other way round.</summary>
    private static PredictionRow Prediction(int image, int exit) => new()
    {
        Split = "test",
        Sample = image,
        Label = 0,
        Exit = exit,
        Prediction = 0,
        Confidence = exit == Exits ? 0.2f + (0.01f * image) : 0.9f - (0.01f * image),
    };

    private static EpochRow Epoch(int epoch, int exit, bool weighted) => new()
    {
        Epoch = epoch,
        Phase = epoch,
        Exit = exit,
        Rate = 0.1,
        MetaRate = 0.001,
        TrainLoss = 2.0 / epoch,
        TrainWeightedLoss = 2.0 / epoch,
        TrainAccuracy = Math.Min(1, 0.3 * epoch),
        ValidationLoss = 2.0 / epoch,
        ValidationAccuracy = Math.Min(1, (0.25 * epoch) + (0.05 * exit)),
        MetaLoss = 3.0 / epoch,
        WeightMean = 1,
        WeightStd = weighted ? 0.1 * exit : 0,
        SkippedBatches = 0,
    };

    private static WeightRow Weight(int sample, int exit, bool weighted) => new()
    {
        Sample = sample,
        Label = 0,
        Difficulty = sample / 40f,
        Exit = exit,
        Loss = sample,
        Confidence = 1 - (sample / 40f),
        Weight = weighted ? 1 + (exit * sample / 100f) : 1,
    };

    private static SummaryRow Summary(string variant, string metric, double mean, int? exit = null, int? p = null) => new()
    {
        Variant = variant,
        Metric = metric,
        Exit = exit,
        Classes = "",
        P = p,
        N = 2,
        Mean = mean,
        Std = 0.01,
        Low = mean - 0.09,
        High = mean + 0.09,
    };

    private static ComparisonRow Comparison(string metric, double difference, int? exit = null) => new()
    {
        Variant = "learned",
        Baseline = "plain",
        Metric = metric,
        Exit = exit,
        Classes = "",
        P = null,
        N = 2,
        BaselineN = 2,
        Difference = difference,
        Low = difference - 0.02,
        High = difference + 0.02,
        WelchT = 3,
        WelchDf = 1.5,
        WelchP = 0.0004,
        PairedN = 2,
        PairedT = 4,
        PairedP = 0.03,
        PairedLow = difference - 0.05,
        PairedHigh = difference + 0.05,
        PairedHolm = 0.06,
    };

    [GeneratedRegex("""<script type="application/json" id="report-data">(.*?)</script>""", RegexOptions.Singleline)]
    private static partial Regex Data();
}
