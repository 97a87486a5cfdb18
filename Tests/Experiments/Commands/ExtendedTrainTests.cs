using System.Text.Json;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Finished runs that are made longer, as a user does it, and what a run says of its sessions.</summary>
public sealed class ExtendedTrainTests : IDisposable
{
    private static readonly string[] Steps =
    [
        "--set", "train.schedule=multiStep", "--set", "train.milestones=[1, 3]", "--set", "export.weightsEvery=3", "--set",
        "run.checkpointEvery=1",
    ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>With learned weights: the state of both optimisers and the random state go on.</summary>
    [Fact]
    public void An_extended_run_is_the_run_of_the_longer_epochs()
    {
        Train("short", [.. Steps, "--set", "train.epochs=2"]);
        Train("long", [.. Steps, "--set", "train.epochs=4"]);

        string output = _folder.Run(0, "train", "--extend", "short", "--add-epochs", "2", "--out", "extended").Output;

        output.Should().Contain("extends short after epoch 2 to epoch 4: milestones are unchanged; the learning rate resumes at ")
            .And.Contain("epoch 3/4").And.NotContain("epoch 2/4");
        ShouldBeSame("extended", "long");
        foreach (string checkpoint in new[] { "best.pt", "epoch-0001.pt" })
        {
            _folder.Run(0, "eval", $"extended/checkpoints/{checkpoint}", "--out", "of extended", "--force");
            _folder.Run(0, "eval", $"long/checkpoints/{checkpoint}", "--out", "of long", "--force");
            File.ReadAllText(_folder.In("of extended", "exits.csv")).Should().Be(File.ReadAllText(_folder.In("of long", "exits.csv")));
        }

        JsonElement environment = Environment("extended");
        environment.GetProperty("extends").GetProperty("path").GetString().Should().Be(_folder.In("short"));
        environment.GetProperty("extends").GetProperty("epoch").GetInt32().Should().Be(2);
        environment.GetProperty("sessions")[0].GetProperty("epoch").GetInt32().Should().Be(2);
        File.ReadAllText(_folder.In("extended", "log.txt")).Should().Contain("extends short after epoch 2");
        Environment("short").GetProperty("extends").ValueKind.Should().Be(JsonValueKind.Null);
    }

    /// <summary>Started from another run's weights, which every rank gets, and as that says.</summary>
    [Fact]
    public void So_is_one_of_two_processes_from_given_weights()
    {
        Launcher.NeedAny();
        Train("source", "--set", "train.epochs=1");
        string[] two = ["train", .. ImtaProcess.Tiny, .. Steps, "--processes", "2", "--set", "train.initialise=source", "--set", "name=a"];
        foreach ((string run, int epochs) in new[] { ("short", 1), ("long", 2) })
        {
            _folder.Run(0, [.. two, "--out", run, "--set", $"train.epochs={epochs}"]).Output
                .Should().MatchRegex(@"starting weights: (\d+) of the network's \1 tensors from source/checkpoints/latest\.pt\n");
        }

        ImtaProcess.Result result
            = ImtaProcess.Run(_folder.Path, [], ["train", "--extend", "short", "--add-epochs", "1", "--out", "extended"]);

        result.Code.Should().Be(0, result.All);
        ShouldBeSame("extended", "long");
        Environment("extended").GetProperty("initial_weights").GetRawText()
            .Should().Be(Environment("long").GetProperty("initial_weights").GetRawText());
    }

    [Fact]
    public void Phase_two_becomes_longer_in_a_run_of_two_phases()
    {
        string[] two = [.. Steps, "--set", "train.epochs=1", "--set", "phase2.milestones=[1]", "--set", "meta.enabled=false"];
        Train("short", [.. two, "--set", "phase2.epochs=1"]);
        Train("long", [.. two, "--set", "phase2.epochs=2"]);

        _folder.Run(0, "train", "--extend", "short", "--add-epochs", "1", "--out", "extended").Output
            .Should().Contain("extends short after epoch 2 to epoch 3");

        ShouldBeSame("extended", "long");
        File.Exists(_folder.In("extended", "checkpoints", "phase1.pt")).Should().BeTrue();
    }

    [Fact]
    public void A_cosine_goes_on_as_that_of_the_longer_run_and_an_extended_run_resumes()
    {
        Train("short", "--set", "train.epochs=1", "--set", "train.rate=0.5");
        string[] extend = ["train", "--extend", "short", "--add-epochs", "3", "--out"];
        _folder.Run(0, [.. extend, "whole"]).Output.Should().Contain(
            "extends short after epoch 1 to epoch 4: the cosine schedule spans 4 epochs, so the learning rate resumes at 0.4268");
        using (ImtaProcess process = ImtaProcess.Start(_folder.Path, [.. extend, "stopped"]))
        {
            process.WaitUntil(() => File.Exists(_folder.In("stopped", "epochs.csv"))
                && File.ReadAllLines(_folder.In("stopped", "epochs.csv")).Length > 3);
            process.Kill();
            process.End();
        }

        _folder.Run(0, "train", "--resume", "stopped");

        _folder.Read<EpochRow>("whole", "epochs.csv").Select(row => row.Rate).Distinct().Should()
            .Equal([0.5, 0.426777, 0.25, 0.073223], (rate, expected) => Math.Abs(rate - expected) < 1e-6);
        RunFiles.Tables(_folder.In("stopped")).Should().Equal(RunFiles.Tables(_folder.In("whole")));
    }

    [Fact]
    public void What_cannot_be_extended_is_one_line_and_leaves_no_folder()
    {
        Train("run", "--set", "train.epochs=1");
        string[] extend = ["train", "--extend", "run", "--add-epochs", "1", "--out", "longer"];

        Refused("nowhere is not a run folder", "train", "--extend", "nowhere", "--add-epochs", "1");
        Refused("--extend needs --add-epochs N", "train", "--extend", "run");
        Refused("--add-epochs needs --extend RUN", "train", "--add-epochs", "1");
        Refused("--add-epochs is 0; it must be an integer from 1 to 1000000", "train", "--extend", "run", "--add-epochs", "0");
        Refused("train.epochs is 1000001; it must be an integer in [1, 1000000]", "train", "--extend", "run", "--add-epochs", "1000000");
        Refused("--extend continues the run as configured", [.. extend, "--set", "train.rate=1"]);
        Refused("--extend continues the run as configured", [.. extend, "--seed", "1"]);
        Refused("--resume continues the run as configured", [.. extend, "--resume", "run"]);
        Refused("--out is ./run/, the run that is to be extended, which stays as it is", [.. extend[..^1], "./run/", "--force"]);
        if (!OperatingSystem.IsWindows())
        {
            Directory.CreateSymbolicLink(_folder.In("link"), _folder.In("run"));
            Refused("the run that is to be extended, which stays as it is", [.. extend[..^1], "link", "--force"]);
        }

        string config = _folder.In("run", "config.yaml");
        File.WriteAllText(config, File.ReadAllText(config).Replace("momentum: 0.9", "momentum: 0.8", StringComparison.Ordinal));
        Refused("was changed after the run started", extend);
        Directory.Exists(_folder.In("longer")).Should().BeFalse();
    }

    /// <summary>Every session has its start, machine and epoch; the time is that of all of them.</summary>
    [Fact]
    public void An_unfinished_run_is_to_be_resumed_first_and_its_sessions_are_recorded()
    {
        string[] arguments = [.. ImtaProcess.Tiny, "--set", "data.trainLimit=400"];
        RunFiles.StopAfterAnEpoch(_folder, "run", arguments);

        Refused("run is not finished (", "train", "--extend", "run", "--add-epochs", "1");
        Environment("run").GetProperty("training_seconds").ValueKind.Should().Be(JsonValueKind.Null);

        string output = _folder.Run(0, "train", "--resume", "run").Output;

        output.Should().MatchRegex(@"trained and validated for \d+:\d\d:\d\d, in 2 sessions\n");
        JsonElement[] sessions = [.. Environment("run").GetProperty("sessions").EnumerateArray()];
        sessions.Select(session => session.GetProperty("host").GetString()).Should().Equal(
            System.Environment.MachineName, System.Environment.MachineName);
        sessions.Select(session => session.GetProperty("epoch").GetInt32()).Should().Equal(0, 1);
        sessions.Select(session => session.GetProperty("start").GetDateTime()).Should().BeInAscendingOrder();
        double seconds = File.ReadAllLines(_folder.In("run", "timing.csv")).Skip(1).Select(line => line.Split(','))
            .Sum(row => double.Parse(row[1], System.Globalization.CultureInfo.InvariantCulture)
                + double.Parse(row[3], System.Globalization.CultureInfo.InvariantCulture));
        Environment("run").GetProperty("training_seconds").GetDouble().Should().BeApproximately(seconds, 0.001);
        File.ReadAllText(_folder.In("run", "log.txt")).Should()
            .MatchRegex($@"process \d+ on {System.Environment.MachineName}, after epoch 0\n(.*\n)*.*, after epoch 1\n");
    }

    private void Refused(string message, params string[] arguments) => _folder.Run(2, arguments).Error.TrimEnd().Split('\n')
        .Should().ContainSingle().Which.Should().StartWith("imta: ").And.Contain(message);

    private void Train(string run, params string[] arguments)
        => _folder.Run(0, ["train", "--out", run, .. ImtaProcess.Tiny, .. arguments, "--set", "name=a"]);

    private JsonElement Environment(string run)
        => JsonDocument.Parse(File.ReadAllText(_folder.In(run, "environment.json"))).RootElement;

    /// <summary>The same files, of which configuration and tables are the same bytes.</summary>
    private void ShouldBeSame(string run, string other)
    {
        RunFiles.Names(_folder.In(run)).Should().BeEquivalentTo(RunFiles.Names(_folder.In(other)));
        File.ReadAllText(_folder.In(run, "config.yaml")).Should().Be(File.ReadAllText(_folder.In(other, "config.yaml")));
        RunFiles.Tables(_folder.In(run)).Should().Equal(RunFiles.Tables(_folder.In(other)));
    }
}
