using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Sweeps;
using Imta.MetaWeight.Tests.Docs;

namespace Imta.MetaWeight.Tests.Experiments.Sweeps;

/// <summary>Sweep files: what they ask for, and how wrong ones are refused.</summary>
public sealed class SweepPlanTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    public static TheoryData<string> Names()
        => [.. Directory.GetFiles(Sweeps(), "*.yaml").Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_sweep_of_the_repository_loads_and_compares_three_seeds(string name)
    {
        string path = Path.Combine(Sweeps(), name);

        SweepPlan plan = SweepPlan.Load(path, data: "anywhere");

        plan.Runs.Select(run => run.Seed).Distinct().Should().Equal(0, 1, 2);
        plan.Baselines.Count.Should().BeGreaterThan(0);
        plan.Runs.Should().OnlyContain(run => run.Settings.Data.Root == Path.GetFullPath("anywhere"));
        plan.Runs.Where(run => run.Seed == 0).Select(run => run.Settings with { Name = null }).Should().OnlyHaveUniqueItems();
        File.ReadLines(path).ElementAt(1).Should().Be($"# ./imta sweep configs/sweeps/{name} --data DIR");
        File.ReadAllText(Path.Combine(Sweeps(), "../../docs/sweeps.md")).Should()
            .Contain(name.StartsWith("ablation-", StringComparison.Ordinal) ? name["ablation".Length..^".yaml".Length] : name);
    }

    public static TheoryData<string> Results()
        => [.. Directory.GetDirectories(Path.Combine(MarkdownPage.Repository(), "results")).Select(folder => Path.GetFileName(folder))
            .Where(folder => folder != "full").Order(StringComparer.Ordinal)];

    [Theory]
    [MemberData(nameof(Results))]
    public void A_sweep_of_the_results_loads(string folder)
    {
        string file = Path.Combine(MarkdownPage.Repository(), "results", folder, "sweep.yaml");

        SweepPlan.Load(file, data: null).Runs.Should().HaveCountGreaterThan(2);
    }

    [Fact]
    public void Names_of_variants_may_have_dots()
    {
        SweepPlan plan = Load("baseline: q-0.5\nvariants: {q-0.5: {meta: {q: 0.5}}, q-1.0: {meta: {q: 1}}, q: {meta: {q: 2}}}\n");

        plan.Runs.Select(run => (run.Variant, run.Settings.Name, run.Settings.Meta.Q)).Should()
            .Equal(("q-0.5", "q-0.5", 0.5), ("q-1.0", "q-1.0", 1), ("q", "q", 2));
        plan.Baselines.Should().BeEquivalentTo(new Dictionary<string, string> { ["q-1.0"] = "q-0.5", ["q"] = "q-0.5" });
    }

    [Theory]
    [InlineData("none")]
    [InlineData("ge")]
    [InlineData("isc")]
    [InlineData("ofa")]
    [InlineData("all")]
    public void The_ablation_of_IMTA_is_that_of_its_configurations(string variant)
    {
        Settings expected = SettingsLoader.Load(Path.Combine(Sweeps(), $"../imta/imta-ablation-{variant}.yaml"));

        Settings settings = SweepPlan.Load(Path.Combine(Sweeps(), "imta-ablation.yaml"), data: null).Runs.First(
            run => run.Variant == variant).Settings;

        if (expected.Phase2.Epochs == 0)
        {
            settings = settings with { Phase2 = expected.Phase2 };
        }

        (settings with { Name = expected.Name }).Should().Be(expected);
    }

    [Fact]
    public void A_grid_is_every_combination_of_every_variant()
    {
        SweepPlan plan = Load("""
            seeds: [3, 1]
            baseline: plain
            set: {train: {batch: 20}}
            variants:
              plain: {meta: {enabled: false}}
              learned:
            grid:
              meta: {q: [0.5, 1]}
              train: {milestones: ["[1, 2]", "[3]"]}
            """);

        plan.Variants.Should().Equal(
            "plain,q=0.5,milestones=1-2", "plain,q=0.5,milestones=3", "plain,q=1,milestones=1-2", "plain,q=1,milestones=3",
            "learned,q=0.5,milestones=1-2", "learned,q=0.5,milestones=3", "learned,q=1,milestones=1-2", "learned,q=1,milestones=3");
        plan.Runs.Select(run => run.Seed).Should().Equal([.. Enumerable.Repeat(3, 8), .. Enumerable.Repeat(1, 8)]);
        plan.Baselines.Should().HaveCount(4);
        plan.Baselines["learned,q=1,milestones=3"].Should().Be("plain,q=1,milestones=3");
        Settings settings = plan.Runs[^1].Settings;
        (settings.Meta.Q, settings.Train.Batch, settings.Meta.Enabled, settings.Seed, $"{settings.Train.Milestones}").Should()
            .Be((1, 20, true, 1, "[3]"));
        plan.Runs[0].Settings.Meta.Enabled.Should().BeFalse();
    }

    [Theory]
    [InlineData("plain", "plain,q=0.5 plain,q=1")]
    [InlineData("learned,q=1 plain", "plain,q=0.5 plain,q=1 learned,q=1")]
    [InlineData("", "plain,q=0.5 plain,q=1 learned,q=0.5 learned,q=1")]
    public void Chosen_variants_are_run_in_the_files_order_and_the_others_stay_comparable(string chosen, string run)
    {
        File.WriteAllText(_folder.In("sweep.yaml"), "seeds: [2, 5]\nbaseline: plain\n"
            + "variants: {plain: {meta: {enabled: false}}, learned: }\ngrid: {meta: {q: [0.5, 1]}}\n");
        string[] names = run.Split(' '), all = ["plain,q=0.5", "plain,q=1", "learned,q=0.5", "learned,q=1"];

        SweepPlan plan = SweepPlan.Load(
            _folder.In("sweep.yaml"), data: null, chosen: chosen.Split(' ', StringSplitOptions.RemoveEmptyEntries), known: [5, 7]);

        plan.Runs.Select(one => (one.Seed, one.Variant)).Should().Equal(
            new[] { 2, 5 }.SelectMany(seed => names.Select(name => (seed, name))));
        plan.Others.Select(one => (one.Seed, one.Variant)).Should().BeEquivalentTo(
            new[] { 2, 5 }.SelectMany(seed => all.Except(names).Select(name => (seed, name))).Concat(all.Select(name => (7, name))));
        plan.Variants.Should().Equal(all);
        plan.Baselines.Should().HaveCount(2);
    }

    [Theory]
    [InlineData("q=2", "--variant: unknown variant q=2; the variants are q=0.5, q=1")]
    [InlineData("", "--variant: unknown variant ; the variants are q=0.5, q=1")]
    public void A_variant_that_is_not_there_is_refused(string chosen, string problem)
    {
        File.WriteAllText(_folder.In("sweep.yaml"), "grid: {meta: {q: [0.5, 1]}}\n");

        FluentActions.Invoking(() => SweepPlan.Load(_folder.In("sweep.yaml"), data: null, chosen: [chosen])).Should()
            .Throw<UsageException>().WithMessage(problem);
    }

    [Fact]
    public void One_point_of_a_grid_may_be_the_baseline_of_all_others()
        => Load("baseline: q=1\ngrid: {meta: {q: [0.5, 1, 2]}}\n").Baselines.Should()
            .Equal(new Dictionary<string, string> { ["q=0.5"] = "q=1", ["q=2"] = "q=1" });

    [Fact]
    public void Keys_of_one_last_name_are_shown_in_full()
        => Load("grid: {meta: {optimiser: {rate: [1]}}, train: {rate: [2]}}\n").Variants.Should()
            .Equal("meta.optimiser.rate=1,train.rate=2");

    [Theory]
    [InlineData("", "")]
    [InlineData("sedes: [1]", "1: unknown key sedes; a sweep file has config, seeds, baseline, set, variants, grid")]
    [InlineData("seeds: [1, 1]", "1: seeds is [1, 1]; it must be a list of distinct integers >= 0, such as [0, 1, 2]")]
    [InlineData("seeds: 3", "1: seeds is 3; it must be a list of distinct integers >= 0, such as [0, 1, 2]")]
    [InlineData("seeds: [99999999999]", "it must be a list of distinct integers >= 0, at most 2147483647, such as [0, 1, 2]")]
    [InlineData("seeds: [-1]", "it must be a list of distinct integers")]
    [InlineData("seeds: []", "it must be a list of distinct integers")]
    [InlineData("seeds: {a: 1}", "it must be a list of distinct integers")]
    [InlineData("baseline: other", "1: unknown variant other; the variants are all")]
    [InlineData("baseline: [a]", "1: baseline is [a]; it must be a single name")]
    [InlineData("config: missing.yaml", "missing.yaml: configuration file not found")]
    [InlineData("set: {meta: {qq: 1}}", "1: unknown key meta.qq; did you mean meta.q?")]
    [InlineData("variants: {a: {meta: {q: -1}}}", "1: meta.q is -1; it must be a number > 0")]
    [InlineData("variants: {a: 3}", "1: variants.a is 3; it must contain settings, as in a configuration")]
    [InlineData("variants: {a/b: {meta: {q: 1}}}", "a/b is not a valid variant name; a name starts with a letter or digit")]
    [InlineData("variants: [a, b]", "1: variants is [a, b]; it must contain settings, as in a configuration")]
    [InlineData("variants: 3", "1: variants is 3; it must contain settings")]
    [InlineData("set: {seed: 7}", "1: a sweep's seeds belong under its key seeds, not among settings")]
    [InlineData("variants: {a: {name: b}}", "1: a sweep names its runs after their variants; remove name")]
    [InlineData("grid: {seed: [5, 6]}", "1: a sweep's seeds belong under its key seeds")]
    [InlineData("variants: {..: }", ".. is not a valid variant name; a name starts with a letter or digit")]
    [InlineData("variants: {a: {meta.q: 1}}", "1: meta.q: dotted keys are only for --set")]
    [InlineData("variants: {q-0.5: {meta: {q: 1}}, q-0.5: {meta: {q: 2}}}", "1: variants.q-0.5 is defined twice")]
    [InlineData("grid: {meta: {q: 1}}", "1: grid.meta.q is 1; it must be a list of values, such as [0.5, 1]")]
    [InlineData("grid: {meta: {q: []}}", "1: grid.meta.q is []; it must be a list of values")]
    [InlineData("grid: {meta: {q: [1, 1]}}", "two variants are both named q=1; change one of them")]
    [InlineData("grid: {meta: {q: [1, 1.0]}}", "the variants q=1 and q=1.0 have the same settings; remove one of them")]
    [InlineData("variants: {a: {meta: {q: 1}}, b: {meta: {q: 1e0}}}", "the variants a and b have the same settings; remove one of them")]
    [InlineData("grid: {meta: {q: [a]}}", "1: meta.q is a; it must be a number > 0")]
    [InlineData("a: &b 1", "anchors")]
    [InlineData("- 1", "a configuration consists of 'key: value' lines")]
    public void A_wrong_file_is_one_line(string yaml, string problem)
    {
        Action load = () => Load(yaml);
        if (problem.Length == 0)
        {
            load.Should().NotThrow();
        }
        else
        {
            load.Should().Throw<UsageException>().Which.Message.Should().Contain(problem).And.NotContain("\n");
        }
    }

    [Fact]
    public void Settings_and_seeds_of_the_command_line_are_those_of_all_runs_but_variants_win()
    {
        File.WriteAllText(_folder.In("sweep.yaml"), "set: {train: {epochs: 5, rate: 0.3}}\nseeds: [0, 1]\n"
            + "variants: {a: {}, b: {train: {epochs: 9}}}\n");

        SweepPlan plan = SweepPlan.Load(
            _folder.In("sweep.yaml"), data: null, [SettingsOverride.Parse("train.epochs=7"), SettingsOverride.Parse("meta.q=0.5")], "4, 2");

        plan.Runs.Select(run => (run.Seed, run.Variant, run.Settings.Train.Epochs, run.Settings.Train.Rate, run.Settings.Meta.Q)).Should()
            .Equal((4, "a", 7, 0.3, 0.5), (4, "b", 9, 0.3, 0.5), (2, "a", 7, 0.3, 0.5), (2, "b", 9, 0.3, 0.5));
    }

    [Theory]
    [InlineData("--seeds: seeds is [1, 1]; it must be a list of distinct integers >= 0", null, "1,1")]
    [InlineData("--seeds: seeds is [x]; it must be a list of distinct integers >= 0", null, "x")]
    [InlineData("--set seed=3: a sweep's seeds belong under its key seeds", "seed=3", null)]
    [InlineData("--set meta.q=0: meta.q is 0; it must be a number > 0", "meta.q=0", null)]
    public void Wrong_ones_are_one_line(string problem, string? set, string? seeds)
    {
        File.WriteAllText(_folder.In("sweep.yaml"), "seeds: [0]\n");

        FluentActions.Invoking(() => SweepPlan.Load(
                _folder.In("sweep.yaml"), data: null, set is null ? [] : [SettingsOverride.Parse(set)], seeds))
            .Should().Throw<UsageException>().Which.Message.Should().StartWith(problem).And.NotContain("\n");
    }

    [Fact]
    public void Too_many_runs_are_refused_before_they_are_made()
        => FluentActions.Invoking(() => Load($"grid: {{meta: {{q: [{Numbers(200)}], epsilon: [{Numbers(200)}], interval: "
            + $"[{Numbers(200)}], wpn: {{hidden: [{Numbers(200)}], layers: [{Numbers(200)}]}}}}}}\n"))
            .Should().Throw<UsageException>().WithMessage("*asks for 320000000000 runs; at most 10000 are allowed");

    private static string Numbers(int count) => string.Join(", ", Enumerable.Range(1, count));

    private static string Sweeps() => Path.Combine(MarkdownPage.Repository(), "configs/sweeps");

    private SweepPlan Load(string yaml)
    {
        File.WriteAllText(_folder.In("sweep.yaml"), yaml);
        return SweepPlan.Load(_folder.In("sweep.yaml"), data: null);
    }
}
