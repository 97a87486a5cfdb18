namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>How a training ends that does not get to its end.</summary>
public sealed class StoppedTrainTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void SIGTERM_saves_the_state_as_Ctrl_C_does_and_has_its_own_exit_code()
    {
        using ImtaProcess process = StartLong();

        process.Terminate();

        ImtaProcess.Result stopped = process.End();
        stopped.Code.Should().Be(143, stopped.All);
        stopped.Output.Should().EndWith("stopped; resume with imta train --resume 'my run'\n");
        File.Exists(_folder.In("my run", "checkpoints", "latest.pt")).Should().BeTrue();
    }

    [Fact]
    public void A_run_whose_folder_was_deleted_does_not_claim_to_be_intact()
    {
        using ImtaProcess process = StartLong();

        Directory.Move(_folder.In("my run"), _folder.In("gone"));

        ImtaProcess.Result failed = process.End();
        failed.Code.Should().Be(1, failed.All);
        failed.Error.Should().MatchRegex(
            "^imta: Could not find .*my run.*; the checkpoints in my run are gone, so the run must be restarted\n$");
    }

    private ImtaProcess StartLong()
    {
        ImtaProcess process = ImtaProcess.Start(
            _folder.Path, ["train", "--out", "my run", .. ImtaProcess.Tiny, "--set", "train.epochs=1000"]);
        process.WaitUntil(() => File.Exists(_folder.In("my run", "checkpoints", "previous.pt")));
        return process;
    }
}
