using System.Text.Json;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Platform;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>train.initialise</c>: a run whose network starts from another's, as a user starts it.</summary>
public sealed class InitialWeightsTests(TrainedRun trained) : IClassFixture<TrainedRun>, IDisposable
{
    /// <summary>A rate so small that no float32 parameter moves.</summary>
    private static readonly string[] Still =
    [
        .. ImtaProcess.Tiny, "--set", "train.epochs=1", "--set", "train.rate=1e-60", "--set", "meta.enabled=false",
        "--set", $"model.msdnet.blocks={TrainedRun.Exits}",
    ];

    private readonly DisposeScope _scope = NewDisposeScope();

    public void Dispose() => _scope.Dispose();

    [Theory]
    [InlineData("run")]
    [InlineData("run/checkpoints/best.pt")]
    [InlineData("network.pth.tar")]
    [InlineData("network.safetensors")]
    [InlineData("lightning.pth")]
    public void Weights_come_from_a_run_a_checkpoint_or_another_programs_file(string source)
    {
        MakeFiles();
        string file = source == "run" ? "run/checkpoints/latest.pt" : source;

        string output = Train("started", [.. Still, .. Cifar, "--set", $"train.initialise={source}", "--force"]).Output;

        output.Should().MatchRegex($@"starting weights: (\d+) of the network's \1 tensors from {file}\n");
        ParametersOf("started/checkpoints/latest.pt").Should()
            .BeEquivalentTo(ParametersOf(source.Contains("best", StringComparison.Ordinal) ? file : "run/checkpoints/latest.pt"));
        File.ReadAllText(trained.In("started", "config.yaml")).Should().Contain($"  initialise: {source}\n");
        JsonElement origin = JsonDocument.Parse(File.ReadAllText(trained.In("started", "environment.json"))).RootElement
            .GetProperty("initial_weights");
        origin.GetProperty("path").GetString().Should().Be(trained.In(file));
        origin.GetProperty("sha256").GetString().Should().Be(FileHash.Sha256(trained.In(file)));
    }

    [Fact]
    public void What_does_not_fit_is_said_and_stays_new()
    {
        MakeFiles();
        Dictionary<string, Tensor> state = TorchFileReader.Read(trained.In("network.pth.tar")).Dictionary("state_dict").Tensors();
        int heads = TrainedRun.Exits;
        for (int k = 0; k < heads; k++)
        {
            state[$"classifier.{k}.linear.weight"] = zeros(100, state[$"classifier.{k}.linear.weight"].shape[1]); // of 100 classes
            state[$"classifier.{k}.linear.bias"] = zeros(100);
        }

        state["extra.weight"] = zeros(3);
        state.Remove("blocks.0.0.layers.0.net.0.weight").Should().BeTrue();
        TorchFileWriter.Write(trained.In("hundred.pth"), new TorchDictionary(state));

        string output = Train("other", [.. Still, .. Cifar, "--set", "train.initialise=hundred.pth", "--force"]).Output;

        output.Should().MatchRegex(@"starting weights: \d+ of the network's \d+ tensors from hundred\.pth; "
            + @"1 missing: blocks\.0\.0\.layers\.0\.net\.0\.weight; "
            + @"6 with the wrong shape: classifier\.0\.linear\.weight is \[100, \d+\] and not \[10, \d+\], .*, …; "
            + @"1 unexpected: extra\.weight\n");
        Dictionary<string, float[]> from = ParametersOf("run/checkpoints/latest.pt"), to = ParametersOf("other/checkpoints/latest.pt");
        from.Keys.Where(name => !from[name].SequenceEqual(to[name])).Should().HaveCount(7, "the others were taken")
            .And.OnlyContain(name => name.Contains("linear", StringComparison.Ordinal) || name == "blocks.0.0.layers.0.net.0.weight");
    }

    [Fact]
    public void A_network_of_phase_two_gives_phase_one_its_frozen_part_and_all_phases_go_on()
    {
        string[] two =
        [
            .. Still, .. Cifar, "--set", "meta.enabled=false", "--set", "modifiers.isc.enabled=true", "--set", "phase2.epochs=1",
        ];
        Train("two", [.. two, "--force"]);

        string output = Train("again", [.. two, "--set", "train.initialise=two", "--force"]).Output;

        output.Should().MatchRegex(@"starting weights: (\d+) of the network's \1 tensors from .*; \d+ unexpected: ");
        ParametersOf("again/checkpoints/phase1.pt").Should().BeEquivalentTo(ParametersOf("two/checkpoints/phase1.pt"));
    }

    [Fact]
    public void The_file_is_not_needed_to_resume()
    {
        MakeFiles();
        File.Copy(trained.In("network.pth.tar"), trained.In("gone.pth.tar"), overwrite: true);
        string[] arguments = [.. ImtaProcess.Tiny, .. Cifar, "--set", "train.initialise=gone.pth.tar", "--set", "model.msdnet.blocks=3"];
        Train("whole", [.. arguments, "--force"]);
        using (ImtaProcess process = ImtaProcess.Start(trained.Folder, ["train", "--out", "stopped", .. arguments]))
        {
            process.WaitUntil(() => File.Exists(trained.In("stopped", "checkpoints", "latest.pt")));
            process.Kill();
            process.End();
        }

        File.Delete(trained.In("gone.pth.tar"));

        trained.Run(0, "train", "--resume", "stopped");

        RunFiles.Tables(trained.In("stopped")).Should().Equal(RunFiles.Tables(trained.In("whole")));
    }

    [Theory]
    [InlineData("nowhere", "train.initialise: nowhere does not exist; give a run folder, or a checkpoint")]
    [InlineData("run/epochs.csv", "train.initialise: run/epochs.csv does not contain a readable network")]
    [InlineData(
        "alien.safetensors", "train.initialise: none of the 1 tensors of alien.safetensors matches the network by name and shape; ")]
    [InlineData("diverged.pt", "train.initialise: diverged.pt contains NaN or infinite values (")]
    public void A_file_that_gives_nothing_is_one_line(string source, string message)
    {
        MakeFiles();
        Safetensors.Write(trained.In("alien.safetensors"), new Dictionary<string, Tensor> { ["weight"] = zeros(3) });
        trained.Change("diverged.pt", state => state.First(entry => entry.Value.is_floating_point()).Value.fill_(Held(double.NaN)));

        trained.Refusal(["train", "--out", "refused", .. Still, .. Cifar, "--set", $"train.initialise={source}"])
            .Should().Contain(message);
        Directory.Exists(trained.In("refused")).Should().BeFalse();
    }

    [Fact]
    public void Phase_two_of_another_run_has_a_network_already()
        => trained.Refusal([
            "train", "--out", "refused", .. Still, .. Cifar, "--set", "train.initialise=run", "--set", "phase2.from=run",
            "--set", "phase2.epochs=1",
        ]).Should().Contain("train.initialise gives phase I its starting weights, but phase2.from skips phase I; remove one of them");

    private string[] Cifar => ["--data", trained.Cifar.Root, "--set", "data.dataset=cifar10", "--set", "data.trainLimit=200"];

    private ImtaProcess.Result Train(string run, string[] arguments) => trained.Run(0, ["train", "--out", run, .. arguments]);

    private void MakeFiles()
    {
        trained.Make("network.pth.tar", "convert", "run", "network.pth.tar");
        trained.Make("network.safetensors", "convert", "run", "network.safetensors");
        if (!File.Exists(trained.In("lightning.pth")))
        {
            TorchDictionary state = TorchFileReader.Read(trained.In("network.pth.tar")).Dictionary("state_dict");
            TorchFileWriter.Write(trained.In("lightning.pth"), new TorchDictionary
            {
                ["state_dict"] = new TorchDictionary(state.Tensors().ToDictionary(entry => "model." + entry.Key, entry => entry.Value)),
            });
        }
    }

    /// <summary>What the optimiser trains: running statistics move even where the rate is nothing.</summary>
    private Dictionary<string, float[]> ParametersOf(string checkpoint) => TorchFileReader.Read(trained.In(checkpoint))
        .Dictionary("state_dict").Tensors()
        .Where(entry => !entry.Key.Contains("running_", StringComparison.Ordinal)
            && !entry.Key.EndsWith("num_batches_tracked", StringComparison.Ordinal))
        .ToDictionary(entry => entry.Key, entry => entry.Value.contiguous().ToArray<float>());
}
