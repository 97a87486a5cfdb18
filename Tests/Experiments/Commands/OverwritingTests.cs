using Imta.MetaWeight.Experiments.Platform;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>What commands write: nothing that is there is replaced unasked, and nothing goes into a run that is being trained.</summary>
public sealed class OverwritingTests(TrainedRun trained) : IClassFixture<TrainedRun>
{
    public static TheoryData<string, string, string[]> Writers => new()
    {
        { "answers.csv", "answers.csv already exists; choose another location with --out", ["infer", "run", "--policy", "thirds.json"] },
        {
            "own.csv", "own.csv already exists; choose another location with --out",
            ["infer", "run", "--policy", "thirds.json", "--out", "own.csv"]
        },
        { "run/policy.json", "run/policy.json already exists; choose another location with --out", ["calibrate", "run", "--macs", "1G"] },
        { "p.json", "p.json already exists; choose another location with --out", ["calibrate", "run", "--macs", "1G", "--out", "p.json"] },
        { "n.pth", "n.pth already exists; choose another OUT", ["convert", "run", "n.pth"] },
        { "cost.csv", "cost.csv already exists; choose another location with --out", ["cost", "--out", "cost.csv"] },
        { "r.html", "r.html already exists; choose another location with --out", ["report", "run", "--out", "r.html"] },
        { "e/exits.csv", "e/exits.csv already exists; choose another location with --out", ["eval", "run", "--out", "e"] },
    };

    [Theory]
    [MemberData(nameof(Writers))]
    public void A_file_that_is_there_is_replaced_by_force_only(string file, string problem, string[] command)
    {
        trained.Run(0, "calibrate", "run", "--shares", "1,1,1", "--out", "thirds.json", "--force");
        Directory.CreateDirectory(trained.In("e"));
        File.WriteAllText(trained.In(file), "precious");

        trained.Refusal(command).Should().Be($"imta: {problem}, or overwrite it with --force");
        File.ReadAllText(trained.In(file)).Should().Be("precious");

        trained.Run(0, [.. command, "--force"]);
        File.ReadAllText(trained.In(file)).Should().NotBe("precious");
    }

    [Fact]
    public void The_tables_in_a_networks_own_place_are_renewed()
    {
        trained.Run(0, "eval", "run");
        File.Copy(trained.In("run", "checkpoints", "latest.pt"), trained.In("alone.pt"));
        trained.Run(0, "eval", "alone.pt", "--data", trained.Cifar.Root);
        trained.Run(0, "eval", "alone.pt", "--data", trained.Cifar.Root);
    }

    [Theory]
    [InlineData("eval", "run")]
    [InlineData("eval", "run/checkpoints/latest.pt", "--out", "run", "--force")]
    [InlineData("calibrate", "run", "--macs", "1G", "--force")]
    [InlineData("calibrate", "run", "--macs", "1G", "--out", "run/other.json")]
    [InlineData("convert", "other.safetensors", "run/checkpoints/new.pth")]
    public void A_run_that_is_being_trained_is_not_written_into(params string[] command)
    {
        trained.Run(0, "convert", "run", "other.safetensors", "--force");
        using IDisposable? training = FolderLock.TryAcquire(trained.In("run"));
        string[] before = RunFiles.Names(trained.In("run")), tables = RunFiles.Tables(trained.In("run"));

        trained.Refusal(command).Should().Contain("run is being trained by another process; wait for it, ");

        RunFiles.Names(trained.In("run")).Should().BeEquivalentTo(before);
        RunFiles.Tables(trained.In("run")).Should().Equal(tables);
        trained.Run(0, "eval", "run", "--out", "beside", "--force");
        trained.Run(0, "convert", "run", "beside.pth", "--force");
    }
}
