namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Runs whose exits' gradients are combined otherwise than by their sum.</summary>
public sealed class TrainGradientCombinationTests : IDisposable
{
    private static readonly string[] Plain =
    [
        .. ImtaProcess.Tiny, "--set", "meta.enabled=false", "--set", "model.msdnet.blocks=3", "--set", "data.trainLimit=400",
    ];

    private static readonly string[] Short = [.. Plain, "--set", "data.trainLimit=120", "--set", "train.epochs=1"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("pcgrad")]
    [InlineData("cagrad")]
    [InlineData("nashMtl")]
    [InlineData("dwa")] // in epochs 3 and 4 by what epochs 1 and 2 have left
    [InlineData("gradNorm")]
    public void A_run_that_is_stopped_within_an_epoch_ends_with_the_same_tables(string combination)
    {
        string[] arguments =
        [
            .. Plain, "--set", $"modifiers.combination={combination}", "--set", "train.rate=0.02", "--set", "train.epochs=3",
        ];
        RunFiles.StoppedAndResumed(_folder, arguments).Should().Contain($"plain training + {combination}, MSDNet");
    }

    [Fact]
    public void The_sum_is_what_it_was_without_the_setting_and_the_others_are_not()
    {
        string[] settings =
        [
            "modifiers.combination=sum", "run.bestBy=lastAccuracy", "modifiers.combination=pcgrad", "modifiers.combination=cagrad",
        ];
        string[] tables = [.. settings.Select((setting, i) =>
        {
            _folder.Run(0, ["train", "--out", $"run{i}", .. Short, "--set", setting]);
            return File.ReadAllText(_folder.In($"run{i}", "epochs.csv"));
        })];

        tables[1].Should().Be(tables[0]);
        tables.Distinct().Should().HaveCount(3);
    }

    [Fact]
    public void Weights_by_rule_and_both_phases_go_with_it()
    {
        string[] arguments =
        [
            .. Short, "--set", "meta.enabled=true", "--set", "meta.weights=allocated", "--set", "modifiers.combination=nashMtl", "--set",
            "modifiers.nashMtl.maxNorm=1", "--set", "phase2.epochs=1", "--set", "modifiers.isc.enabled=true",
        ];

        _folder.Run(0, ["train", "--out", "run", .. arguments]).Output.Should()
            .Contain("allocated training samples + ISC + nashMtl, two phases");
        File.ReadAllLines(_folder.In("run", "epochs.csv")).Should().HaveCount(7);
    }

    [Theory]
    [InlineData("modifiers.combination=pcgrad")]
    [InlineData("modifiers.combination=cagrad", "meta.gradient=unrolled")]
    [InlineData("modifiers.combination=nashMtl", "meta.source=heldOut")]
    [InlineData("modifiers.combination=dwa")]
    [InlineData("modifiers.combination=last")]
    public void Learned_weights_do_not(params string[] settings)
    {
        ImtaProcess.Result result = ImtaProcess.Run(
            _folder.Path, ["train", "--out", "run", .. ImtaProcess.Tiny, .. settings.SelectMany(setting => new[] { "--set", setting })]);

        result.Code.Should().Be(2, result.All);
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should()
            .Contain("modifiers.combination").And.Contain("meta.enabled").And.Contain("is not the sum");
        Directory.Exists(_folder.In("run")).Should().BeFalse();
    }
}
