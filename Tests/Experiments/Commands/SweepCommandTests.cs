using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta sweep</c> as a user runs it.</summary>
public sealed class SweepCommandTests : IDisposable
{
    private const string Sweep = """
        seeds: [0, 1]
        baseline: plain
        set:
          threads: 1
          data: {trainLimit: 80, testLimit: 40, imbalance: {type: exponential, factor: 3}}
          train: {batch: 16, epochs: 2}
          model: {msdnet: {blocks: 2, channels: 4, growth: 2}}
          meta: {wpn: {hidden: 16}}
        variants:
          plain: {meta: {enabled: false}}
          mwn: {meta: {source: heldOut, perClass: 1, wpn: {output: sigmoid}}}
        """;

    private static readonly string[] Tables = ["runs.csv", "summary.csv", "comparison.csv"];

    private readonly TemporaryFolder _folder = new();

    public SweepCommandTests() => File.WriteAllText(_folder.In("s.yaml"), Sweep);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Killed_in_the_middle_and_started_again_it_ends_with_the_same_tables()
    {
        _folder.Run(0, "sweep", "s.yaml", "--out", "whole");
        using (ImtaProcess killed = ImtaProcess.Start(_folder.Path, "sweep", "s.yaml", "--out", "killed", "--jobs", "2"))
        {
            killed.WaitUntil(() => File.Exists(_folder.In("killed", "runs", "mwn", "seed-0", "epochs.csv")));
            killed.Kill();
        }

        string output = _folder.Run(0, "sweep", "s.yaml", "--out", "killed").Output;

        output.Should().Contain("4 runs of 2 variants").And.Contain("mwn, seed 1: done");
        foreach (string table in Tables)
        {
            File.ReadAllText(_folder.In("killed", table)).Should().Be(File.ReadAllText(_folder.In("whole", table)), table);
        }

        string before = File.ReadAllText(_folder.In("killed", "runs", "mwn", "seed-1.txt"));
        _folder.Run(0, "sweep", "s.yaml", "--out", "killed").Output.Should().Contain("4 runs of 2 variants, 4 done; folder killed");
        File.ReadAllText(_folder.In("killed", "runs", "mwn", "seed-1.txt")).Should().Be(before, "nothing runs again");
    }

    /// <summary>No GPU here: that each run was given its own shows in what it says is missing.</summary>
    [Fact]
    public void Runs_on_CUDA_go_at_once_as_many_as_there_are_devices_each_on_its_own()
    {
        Skip.If(cuda.is_available(), "this machine has a CUDA device");
        File.WriteAllText(_folder.In("s.yaml"), Sweep.Replace("  threads: 1", "  threads: 1\n  device: cuda", StringComparison.Ordinal));

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, [("CUDA_VISIBLE_DEVICES", "3,GPU-5a")], "sweep", "s.yaml", "--out", "s");

        result.Code.Should().Be(1, result.All);
        string[] messages = [.. _folder.Read<SweepRunRow>("s", "runs.csv").Select(run => run.Message!)];
        messages.Should().HaveCount(4).And.OnlyContain(message => message.Contains("there is no device cuda:0"));
        messages.Should()
            .Contain(message => message.Contains("CUDA_VISIBLE_DEVICES is '3'")).And.Contain(
                message => message.Contains("CUDA_VISIBLE_DEVICES is 'GPU-5a'"));
        messages.Should().NotContain(message => message.Contains("3,GPU-5a"));
    }

    [Fact]
    public void Its_tables_are_those_of_the_runs_and_a_seed_more_is_a_run_more()
    {
        _folder.Run(0, "sweep", "s.yaml", "--out", "s");
        double[] last =
        [
            .. new[] { 0, 1 }.Select(seed => _folder.Read<AnytimeRow>("s", "runs", "mwn", $"seed-{seed}", "anytime.csv")[^1].Top1),
        ];

        SummaryRow row = _folder.Read<SummaryRow>("s", "summary.csv").Single(row => row is { Variant: "mwn", Metric: "top1", Exit: 2 });
        row.Mean.Should().BeApproximately(last.Average(), 1e-12);
        row.N.Should().Be(2);
        _folder.Read<SummaryRow>("s", "summary.csv").Where(row => row.Metric == "class_accuracy").Select(row => row.Classes).Distinct()
            .Should()
            .Equal("head", "medium", "tail");
        _folder.Read<SummaryRow>("s", "summary.csv").Count(row => row is { Variant: "plain", Metric: "dynamic_macs" }).Should().Be(39);
        _folder.Read<ComparisonRow>("s", "comparison.csv").Should()
            .OnlyContain(row => row.Variant == "mwn" && row.Baseline == "plain" && row.PairedN == 2);
        File.ReadAllText(_folder.In("s", "runs", "mwn", "seed-0.txt")).Should()
            .Contain("10 held-out meta").And.Contain("Meta-Weight-Net").And.Contain(
                "imbalanced classes: 6 training images in the largest, 2 in the smallest");

        File.WriteAllText(_folder.In("s.yaml"), Sweep[..Sweep.IndexOf("  mwn", StringComparison.Ordinal)]);
        _folder.Run(0, "sweep", "s.yaml", "--out", "s").Output.Should().Contain("2 runs of 1 variant, 2 done; folder s");
        File.WriteAllText(_folder.In("s.yaml"), Sweep.Replace("[0, 1]", "[0, 1, 7]", StringComparison.Ordinal));
        _folder.Run(0, "sweep", "s.yaml", "--out", "s").Output.Should()
            .Contain("6 runs of 2 variants, 4 done; folder s", "runs of a variant that was left out for a while are not made again");
        _folder.Read<SweepRunRow>("s", "runs.csv").Select(run => (run.Variant, run.Seed, run.State)).Should().Equal(
            ("plain", 0, "done"), ("mwn", 0, "done"), ("plain", 1, "done"), ("mwn", 1, "done"), ("plain", 7, "done"), ("mwn", 7, "done"));

        _folder.Run(0, "sweep", "s.yaml", "--out", "s", "--seeds", "8").Output.Should().Contain("2 runs of 2 variants, 0 done; folder s");
        _folder.Read<SweepRunRow>("s", "runs.csv").Select(run => (run.Seed, run.State)).Should()
            .Equal(new[] { 0, 0, 1, 1, 7, 7, 8, 8 }.Select(seed => (seed, "done")), "runs of other seeds stay");
        _folder.Read<SummaryRow>("s", "summary.csv").Single(row => row is { Variant: "mwn", Metric: "top1", Exit: 2 }).N.Should().Be(4);
        File.ReadAllText(_folder.In("s", "sweep.yaml")).Should().StartWith("# with --seeds 8\nseeds: [0, 1, 7]\n");
        _folder.Run(0, "sweep", "s/sweep.yaml", "--out", "s", "--seeds", "1");
        File.ReadAllText(_folder.In("s", "sweep.yaml")).Should()
            .StartWith("# with --seeds 1\nseeds: [0, 1, 7]\n", "the line is the last command's");
        Directory.Delete(_folder.In("s", "runs", "mwn", "seed-7"), recursive: true);
        _folder.Run(0, "sweep", "s.yaml", "--out", "s", "--seeds", "8").Output.Should().Contain("2 runs of 2 variants, 2 done; folder s");
        _folder.Read<SweepRunRow>("s", "runs.csv").Should().HaveCount(7, "a run that was removed is gone");

        _folder.Run(0, "sweep", "s.yaml", "--out", "s", "--seeds", "0,8,9", "--variant", "mwn").Output.Should()
            .Contain("3 runs of 1 variant, 2 done; folder s");
        _folder.Read<SweepRunRow>("s", "runs.csv").Select(run => (run.Variant, run.Seed, run.State)).Should().Equal(
            [
                ("plain", 0, "done"), ("mwn", 0, "done"), ("plain", 1, "done"), ("mwn", 1, "done"), ("plain", 7, "done"),
                ("plain", 8, "done"), ("mwn", 8, "done"), ("mwn", 9, "done"),
            ], "other variants' runs stay, those that were never made are not listed");
        _folder.Read<ComparisonRow>("s", "comparison.csv").Should()
            .OnlyContain(row => row.N == 4 && row.BaselineN == 4 && row.PairedN == 3);
        File.ReadAllText(_folder.In("s", "sweep.yaml")).Should().StartWith("# with --seeds 0,8,9 --variant mwn\n");

        Refusal("sweep", "s.yaml", "--out", "s", "--seeds", "9", "--set", "train.epochs=3").Should()
            .Contain("was run with different settings than s.yaml specifies", "runs of two lengths do not share tables");
        File.WriteAllText(_folder.In("s.yaml"), Sweep.Replace("batch: 16", "batch: 18", StringComparison.Ordinal));
        Refusal("sweep", "s.yaml", "--out", "s").Should().Contain("was run with different settings than s.yaml specifies");
    }

    [Fact]
    public void A_run_that_fails_is_recorded_and_the_rest_goes_on()
    {
        File.WriteAllText(
            _folder.In("s.yaml"),
            Sweep.Replace("seeds: [0, 1]", "seeds: [0]", StringComparison.Ordinal)
                .Replace("variants:", "variants:\n  broken: {train: {rate: 1.0e+30}}", StringComparison.Ordinal));

        ImtaProcess.Result result = _folder.Run(1, "sweep", "s.yaml");

        result.Error.Should()
            .StartWith("imta: 1 of 3 runs failed, the first with: ").And.Contain("is NaN or infinite").And.Contain(
                "; see sweeps/s/runs.csv");
        _folder.Read<SweepRunRow>("sweeps", "s", "runs.csv").Select(run => (run.Variant, run.State, run.Message?.Length > 0)).Should()
            .Equal(("broken", "failed", true), ("plain", "done", false), ("mwn", "done", false));
        _folder.Read<SummaryRow>("sweeps", "s", "summary.csv").Select(row => row.Variant).Distinct().Should().Equal("plain", "mwn");
    }

    [Fact]
    public void A_check_that_stops_the_runs_of_a_sweep_can_be_allowed_there()
    {
        File.WriteAllText(
            _folder.In("s.yaml"),
            Sweep.Replace("seeds: [0, 1]", "seeds: [0]", StringComparison.Ordinal)
                .Replace("variants:", "variants:\n  lost: {data: {testLimit: 5}}", StringComparison.Ordinal));

        _folder.Run(1, "sweep", "s.yaml", "--out", "s").Error.Should().Contain("or proceed anyway with --allow splits; see s/runs.csv");

        _folder.Run(0, "sweep", "s.yaml", "--out", "s", "--allow", "splits").Output.Should().Contain("lost, seed 0: done");
        Refusal("sweep", "s.yaml", "--allow", "all").Should().Contain("--allow all: unknown check");
    }

    [Fact]
    public void One_process_at_a_time_works_in_a_folder()
    {
        File.WriteAllText(_folder.In("s.yaml"), Sweep.Replace("epochs: 2", "epochs: 2000", StringComparison.Ordinal));
        string[] plain = ["sweep", "s.yaml", "--out", "s"];
        using ImtaProcess first = ImtaProcess.Start(_folder.Path, plain);
        first.WaitUntil(() => File.Exists(_folder.In("s", "runs", "plain", "seed-0", "epochs.csv")));

        Refusal(plain).Should().Contain("another imta sweep is running in s; wait for it");
        Refusal("train", "--resume", "s/runs/plain/seed-0").Should()
            .Contain("s/runs/plain/seed-0 is being trained by another process; wait for it, or stop it");
        Refusal("train", "--out", "s/runs/plain/seed-0", "--force").Should()
            .Contain("s/runs/plain/seed-0 is being trained by another process; wait for it, stop it");
        first.Interrupt();
        first.End().Should()
            .Match<ImtaProcess.Result>(
                result => result.Code == ImtaProcess.Interrupted
                    && result.Output.Contains("stopped; run the same command to continue in s", StringComparison.Ordinal));
        _folder.Read<SweepRunRow>("s", "runs.csv").Should().OnlyContain(run => run.State == "waiting");
        File.ReadAllText(_folder.In("s", "runs", "plain", "seed-0.txt")).Should()
            .Contain("stopped; resume with imta train --resume", "its run was asked to stop, not killed");
    }

    [Fact]
    public void Wrong_input_is_one_line()
    {
        Directory.CreateDirectory(_folder.In("other"));
        File.WriteAllText(_folder.In("other", "file"), "");
        File.WriteAllText(_folder.In("bad.yaml"), "set: {meta: {qq: 1}}\n");
        foreach ((string problem, string[] arguments) in new (string, string[])[]
        {
            ("missing.yaml: configuration file not found", ["missing.yaml"]),
            ("Required argument 'SWEEP.yaml' missing", []),
            ("bad.yaml:1: unknown key meta.qq", ["bad.yaml"]),
            ("other exists and is not a sweep folder; choose another one with --out", ["s.yaml", "--out", "other"]),
            ("s.yaml exists and is not a sweep folder; choose another one with --out", ["s.yaml", "--out", "s.yaml"]),
            ("--out is empty", ["s.yaml", "--out", ""]),
            ("--jobs is 0; it must be an integer from 1 to 1024", ["s.yaml", "--jobs", "0"]),
            ("Unknown option --job; did you mean --jobs? See imta sweep --help.", ["--job"]),
        })
        {
            Refusal(["sweep", .. arguments]).Should().Contain(problem);
        }

        Directory.Exists(_folder.In("sweeps")).Should().BeFalse();
        Directory.CreateDirectory(_folder.In("torn"));
        File.WriteAllText(_folder.In("torn", "sweep.yaml"), "");
        File.WriteAllText(_folder.In("torn", "runs.csv"), "variant;seed\n");
        Refusal("sweep", "s.yaml", "--out", "torn").Should().Contain("torn/runs.csv: it has no column variant");
    }

    /// <summary>Killed while it made its folder, or a run's: what is there then is no reason to refuse it.</summary>
    [Fact]
    public void Folders_that_were_being_made_are_taken()
    {
        File.WriteAllText(
            _folder.In("s.yaml"),
            Sweep.Replace("seeds: [0, 1]", "seeds: [0]", StringComparison.Ordinal)
                .Replace("epochs: 2", "epochs: 1", StringComparison.Ordinal));
        Leave("s", ".lock", "sweep.yaml.partial");
        _folder.Run(0, "sweep", "s.yaml", "--out", "s");
        File.WriteAllText(
            _folder.In("s", "runs.csv"),
            File.ReadAllText(_folder.In("s", "runs.csv")).Replace("done", "waiting", StringComparison.Ordinal));
        Directory.Delete(_folder.In("s", "runs", "plain", "seed-0"), recursive: true);
        Leave("s/runs/plain/seed-0", ".lock", "config.yaml.partial");
        _folder.Run(0, "sweep", "s.yaml", "--out", "s").Output.Should().Contain("plain, seed 0: done");

        Directory.CreateDirectory(_folder.In("mine"));
        File.WriteAllText(_folder.In("mine", ".lock"), "mine");
        File.WriteAllText(_folder.In("mine", "file"), "");
        Refusal("train", "--out", "mine", "--force").Should().Contain("mine is not empty and is not a run folder");
        File.ReadAllText(_folder.In("mine", ".lock")).Should().Be("mine");
    }

    private void Leave(string folder, params string[] files)
    {
        Directory.CreateDirectory(_folder.In(folder));
        Array.ForEach(files, file => File.WriteAllText(_folder.In(folder, file), ""));
    }

    private string Refusal(params string[] arguments)
        => _folder.Run(2, arguments).Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().StartWith("imta: ").And.Subject!;
}
