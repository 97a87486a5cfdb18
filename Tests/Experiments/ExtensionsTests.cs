using System.Text.Json.Nodes;
using Imta.MetaWeight.Tests.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments;

/// <summary>
/// A program of a user's own that adds a backbone, weightings, a combination of gradients, a column and a kind of exit policy
/// (<c>Tests/ExtensionHost</c>).
/// </summary>
public sealed class ExtensionsTests : IDisposable
{
    private static readonly string[] Small =
    [
        "--set", "model.backbone=toy", "--set", "model.toy.width=6", "--set", "data.trainLimit=80", "--set", "data.testLimit=40",
        "--set", "train.batch=16", "--set", "train.epochs=2", "--set", "meta.wpn.hidden=16", "--threads", "1",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Its_backbone_trains_by_learned_weights_in_two_phases_with_ISC_resumes_and_has_its_column()
    {
        string[] phases = ["--set", "phase2.epochs=1", "--set", "modifiers.isc.enabled=true", "--set", "loss.ofa.enabled=true"];
        Run(0, ["train", "--out", "whole", .. Small, .. phases]).Should().Contain("ToyNet with 3 exits").And.Contain("phase II");
        using (ImtaProcess stopped = ImtaProcess.StartCommand(_folder.Path, Host(["train", "--out", "stopped", .. Small, .. phases])))
        {
            stopped.WaitUntil(() => File.Exists(_folder.In("stopped", "epochs.csv")));
            stopped.Kill();
        }

        Run(0, "train", "--resume", "stopped");

        string[] table = File.ReadAllLines(_folder.In("whole", "epochs.csv"));
        table[0].Should().EndWith(",skipped_batches,margin_mean");
        table.Skip(1).Should().HaveCount(9).And.OnlyContain(line => Margin(line) > 0);
        File.ReadAllLines(_folder.In("stopped", "epochs.csv")).Should().Equal(table);
    }

    [Fact]
    public void Its_weighting_learns_resumes_and_goes_into_phase_II_as_one_of_imta()
    {
        string[] scales = ["--set", "meta.weights=scales", "--set", "meta.scales.range=0.3", "--set", "meta.optimiser.rate=5"];
        Run(0, ["train", "--out", "whole", .. Small, .. scales, "--set", "phase2.epochs=1", "--set", "modifiers.isc.enabled=true"]);
        using (ImtaProcess stopped = ImtaProcess.StartCommand(_folder.Path, Host(["train", "--out", "stopped", .. Small, .. scales])))
        {
            stopped.WaitUntil(() => File.Exists(_folder.In("stopped", "epochs.csv")));
            stopped.Kill();
        }

        Run(0, "train", "--resume", "stopped");
        End(0, ["convert", "whole", "published.pth.tar"]).Error
            .Should().EndWith("latest.pt: its exit_scales, which only a checkpoint of imta train can hold, is skipped\n");

        string[] table = File.ReadAllLines(_folder.In("whole", "epochs.csv"));
        File.ReadAllLines(_folder.In("stopped", "epochs.csv")).Should().Equal(table[..7]);
        int weight = Array.IndexOf(table[0].Split(','), "weight_mean");
        double[] learned = [.. table[4..7].Select(line => Number(line, weight))];
        learned.Should().OnlyContain(mean => mean != 1 && Math.Abs(mean - 1) <= 0.6);
        learned.Average().Should().BeApproximately(1, 1e-6);
        Run(2, ["train", "--out", "refused", .. Small, .. scales, "--set", "meta.scales.range=2"]);
    }

    [Fact]
    public void Its_weighting_of_whole_batches_is_checked_for_what_it_does()
    {
        string[] own = [.. Small, "--set", "meta.weights=ownSamples", "--set", "meta.q=1"];
        Run(0, ["train", "--out", "whole", .. own, "--set", "train.batch=3"]).Should().Contain("each exit's own samples");
        Run(2, ["train", "--out", "halves", .. own, "--set", "train.batch=3", "--set", "meta.ownSamples.halves=true"]);

        Failure(["train", "--out", "refused", .. own, "--set", "meta.q=0.01"])
            .Should().Contain("none of the 16 training samples of a batch are allocated to exit 2 of 3 (meta.q 0.01)");
        Failure(["train", "--out", "refused", .. own, "--set", "meta.q=0.01", "--set", "meta.ownSamples.halves=true"])
            .Should().Contain("none of the 8 training samples of half a batch are allocated to exit");
    }

    [Fact]
    public void Its_combination_trains_with_its_options()
    {
        string[] plain = [.. Small, "--set", "meta.enabled=false", "--set", "modifiers.combination=normalised"];
        Run(0, ["train", "--out", "one", .. plain]).Should().Contain("plain training + normalised");
        Run(0, ["train", "--out", "half", .. plain, "--set", "modifiers.normalised.norm=0.5"]);

        File.ReadAllText(_folder.In("half", "epochs.csv")).Should().NotBe(File.ReadAllText(_folder.In("one", "epochs.csv")));
        Run(2, ["train", "--out", "refused", .. plain, "--set", "modifiers.normalised.norm=0"]);
    }

    [Fact]
    public void Its_runs_are_swept_reported_and_evaluated_and_its_policy_is_read_from_a_file()
    {
        File.WriteAllText(
            _folder.In("base.yaml"),
            "threads: 1\nmodel: {backbone: toy, toy: {blocks: 2}}\ndata: {trainLimit: 80, testLimit: 40}\n"
            + "train: {batch: 16, epochs: 1}\nmeta: {weights: scales, scales: {range: 0.3}}\n");
        File.WriteAllText(_folder.In("s.yaml"), "config: base.yaml\nseeds: [0, 1]\n");
        Run(0, "sweep", "s.yaml", "--out", "s", "--jobs", "1");
        Run(0, "report", "s", "--out", "s.html");
        string run = Directory.GetFiles(_folder.In("s", "runs"), "config.yaml", SearchOption.AllDirectories)[0];
        File.ReadAllText(run).Should().Contain("backbone: toy").And.Contain("blocks: 2").And.Contain("range: 0.3");
        string folder = Path.GetDirectoryName(run)!;
        File.ReadLines(Path.Combine(folder, "epochs.csv")).First().Should().EndWith(",margin_mean");
        File.ReadAllText(_folder.In("s.html")).Should().Contain("Sweep s");
        Run(0, "calibrate", folder, "--shares", "50,50", "--out", "p.json");
        JsonObject policy = JsonNode.Parse(File.ReadAllText(_folder.In("p.json")))!.AsObject();
        (policy["kind"], policy["agreeing"]) = ("agreement", 1);
        Array.ForEach(["criterion", "thresholds", "budget", "validation"], key => policy.Remove(key));
        File.WriteAllText(_folder.In("p.json"), policy.ToJsonString());

        Run(0, "eval", folder, "--policy", "p.json", "--out", "e").Should().Contain("policy p.json, on the test images");
        Run(0, "infer", folder, "--policy", "p.json", "--out", "answers.csv").Should().Contain("40 images: ");

        ImtaProcess.Run(_folder.Path, "eval", folder).Error.Should().Contain("toy", "imta itself does not know it");
    }

    [Fact]
    public void Its_fault_is_reported_with_the_method_that_failed()
    {
        string[] one = [.. Small, "--set", "train.epochs=1"];
        Run(0, ["train", "--out", "run", .. one]);
        Run(0, "calibrate", "run", "--shares", "50,30,20", "--out", "p.json");
        JsonObject policy = JsonNode.Parse(File.ReadAllText(_folder.In("p.json")))!.AsObject();
        (policy["kind"], policy["agreeing"]) = ("agreement", -1);
        Array.ForEach(["criterion", "thresholds", "budget", "validation"], key => policy.Remove(key));
        File.WriteAllText(_folder.In("p.json"), policy.ToJsonString());

        End(1, ["eval", "run", "--policy", "p.json", "--out", "e"]).Error.Should().MatchRegex(
            @"^imta: AgreementPolicy\.Leaves \(AgreementPolicy\.cs, line \d+\) failed: narrow\(\): length must be non-negative\.\n$");
    }

    private static double Margin(string line) => Number(line, ^1);

    private static double Number(string line, Index column)
        => double.Parse(line.Split(',')[column], System.Globalization.CultureInfo.InvariantCulture);

    private static string[] Host(params string[] arguments)
        => ["dotnet", Path.Combine(AppContext.BaseDirectory, "extension-host.dll"), .. arguments];

    private string Run(int code, params string[] arguments) => End(code, arguments).Output;

    private string Failure(params string[] arguments) => End(2, arguments).Error;

    private ImtaProcess.Result End(int code, string[] arguments)
    {
        using ImtaProcess process = ImtaProcess.StartCommand(_folder.Path, Host(arguments));
        ImtaProcess.Result result = process.End();
        result.Code.Should().Be(code, result.All);
        return result;
    }
}
