using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Tests.Docs;

namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

/// <summary>The checks together: on the configurations that come along, against real files, in their documentation.</summary>
public sealed class RunChecksTests
{
    private static readonly AvailableResources Large = new(1000 * ByteSize.Gib, 1000 * ByteSize.Gib);

    [Fact]
    public void The_quick_start_is_nothing_to_tell()
    {
        Settings settings = Load("quickstart.yaml");
        using RunData data = DataSets.Load(settings);

        Checks(settings, data).BeforeStart(Large).Should().BeEmpty();
    }

    public static TheoryData<string> Configurations
        =>
        [
            .. Directory.GetFiles(Repository("configs"), "*.yaml", SearchOption.AllDirectories)
                .Select(path => Path.GetRelativePath(Repository("configs"), path))
                .Where(path => !path.StartsWith("sweeps/", StringComparison.Ordinal))
                .Order(StringComparer.Ordinal),
        ];

    [Theory]
    [MemberData(nameof(Configurations))]
    public void Every_configuration_that_comes_along_cuts_well_and_gives_every_exit_meta_samples(string file)
    {
        Settings settings = Load(file);
        int all = settings.Data.Dataset == DatasetKind.Generated
            ? GeneratedImages.TrainImages
            : Splits.FullTrainingSetSize(settings.Data.Dataset);
        int used = Math.Min(settings.Data.TrainLimit ?? all, all);
        int classes = DatasetShape.For(settings.Data).Classes, left = used - Splits.ValidationSize(settings.Data, used, classes);
        int images = (int)ImbalancedClasses.Counts(
            settings.Data.Imbalance, left / classes, ImbalancedClasses.Order(ClassOrder.Index, classes, 0))
            .Sum();

        BatchSizeCheck.Findings(images, settings).Should().BeEmpty();
        SharesCheck.Findings(images, settings.Model.Exits(), settings).Should().BeEmpty();
    }

    [Fact]
    public void A_resumed_run_is_checked_against_the_machine_only()
    {
        var settings = new Settings { Data = new DataOptions { TrainLimit = 45, TestLimit = 7 } };
        using RunData data = DataSets.Load(settings);
        RunChecks checks = Checks(settings, data);

        checks.BeforeStart(Large).Should().Contain(finding => finding.Check == CheckName.Splits);
        checks.BeforeResume(Large).Should().BeEmpty();
        CheckFinding[] small = [.. checks.BeforeResume(new AvailableResources(1, 1))];
        small.Select(finding => finding.Check).Should().Equal(CheckName.Disk, CheckName.Memory);
        small.Should().OnlyContain(finding => finding.Severity == Severity.Error && !finding.Fix.Contains("set "), "a run's settings stay");
        checks.BeforeResume(new AvailableResources(null, null)).Should().BeEmpty("a machine that says nothing stops nothing");
    }

    [Fact]
    public void Every_check_is_documented()
    {
        string[] documented =
        [
            .. File.ReadLines(Repository("docs/checks.md")).Where(line => line.StartsWith("| `", StringComparison.Ordinal))
                .Select(line => line.Split('`')[1])
                .Distinct(),
        ];

        documented.Should().Equal(CheckNames.All);
    }

    [Theory]
    [InlineData("", new string[0])]
    [InlineData("disk", new[] { "disk" })]
    [InlineData("oddBatch, shares,,disk", new[] { "oddBatch", "shares", "disk" })]
    public void Allow_takes_names_with_commas_between(string value, string[] names)
        => CheckNames.Parse([value]).Select(check => check.Text()).Should().Equal(names);

    private static RunChecks Checks(Settings settings, RunData data)
    {
        IReadOnlyList<TrainingPhase> phases = TrainingPhase.ForRun(settings);
        using RunModel model = RunModel.Build(phases[0], data.Train.ClassCounts(), CPU, ProcessGroup.SingleProcess);
        return new RunChecks(phases, data, model.Network, model.Weighting);
    }

    private static Settings Load(string file) => SettingsLoader.Load(Path.Combine(Repository("configs"), file), []);

    private static string Repository(string path) => Path.Combine(MarkdownPage.Repository(), path);
}
