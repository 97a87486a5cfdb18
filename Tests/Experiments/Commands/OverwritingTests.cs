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
        trained.Make("thirds.json", "calibrate", "run", "--shares", "1,1,1", "--out", "thirds.json");
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
        string table = Directory.GetFiles(trained.Folder, "exits.csv", SearchOption.AllDirectories)
            .Single(file => file.Contains("alone.pt", StringComparison.Ordinal)), first = File.ReadAllText(table);
        File.WriteAllText(table, "old");
        trained.Run(0, "eval", "alone.pt", "--data", trained.Cifar.Root);

        File.ReadAllText(table).Should().Be(first);
    }

    [Theory]
    [InlineData("is also what this command reads", "infer", "run", "--policy", "p.json", "--data", "images.bin", "--out", "images.bin")]
    [InlineData("is also what this command reads", "infer", "run", "--policy", "p.json", "--out", "./p.json")]
    [InlineData("is also what this command reads", "cost", "run/config.yaml", "--out", "run/config.yaml")]
    [InlineData("is the run's own", "cost", "c.yaml", "--out", "run/config.yaml")]
    [InlineData("is the run's own", "report", "run", "--out", "run/epochs.csv")]
    public void What_a_command_reads_and_what_training_wrote_stay_by_force_too(string problem, params string[] command)
    {
        trained.Make("p.json", "calibrate", "run", "--macs", "1G", "--out", "p.json");
        File.Copy(trained.TestFile, trained.In("images.bin"), overwrite: true);
        File.Copy(trained.In("run", "config.yaml"), trained.In("c.yaml"), overwrite: true);
        byte[] before = File.ReadAllBytes(trained.In(command[^1]));

        trained.Refusal([.. command, "--force"]).Should().Contain($"{command[^1]} {problem}");

        File.ReadAllBytes(trained.In(command[^1])).Should().Equal(before);
    }

    [Theory]
    [InlineData("cost", "run/config.yaml", "--out", "a\nb")]
    [InlineData("eval", "run", "--out", "a\nb")]
    [InlineData("report", "run", "--force", "--svg", "a\nb")]
    [InlineData("sweep", "s.yaml", "--out", "a\nb")]
    [InlineData("data", "cifar10", "--data", "a\nb")]
    public void A_path_that_no_line_can_tell_is_refused(params string[] command)
    {
        File.WriteAllText(trained.In("s.yaml"), "seeds: [0]\n");

        trained.Refusal(command).Should().Contain("the output path a\\u000ab contains a control character, such as a line break");
    }

    [Fact]
    public void A_link_stays_a_link_and_a_device_a_device()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "devices are files here");
        File.WriteAllText(trained.In("real.csv"), "old");
        File.CreateSymbolicLink(trained.In("link.csv"), "real.csv");

        trained.Run(0, "cost", "run/config.yaml", "--out", "link.csv", "--force");
        trained.Run(0, "cost", "run/config.yaml", "--out", "/dev/null", "--force");

        new FileInfo(trained.In("link.csv")).LinkTarget.Should().Be("real.csv");
        File.ReadAllText(trained.In("real.csv")).Should().StartWith("exit,");
        new FileInfo("/dev/null").Length.Should().Be(0);
    }

    [Theory]
    [InlineData("eval", "run")]
    [InlineData("eval", "run/checkpoints/latest.pt", "--out", "run", "--force")]
    [InlineData("calibrate", "run", "--macs", "1G", "--force")]
    [InlineData("calibrate", "run", "--macs", "1G", "--out", "run/other.json")]
    [InlineData("convert", "other.safetensors", "run/checkpoints/new.pth")]
    public void A_run_that_is_being_trained_is_not_written_into(params string[] command)
    {
        trained.Make("other.safetensors", "convert", "run", "other.safetensors");
        using IDisposable? training = FolderLock.TryAcquire(trained.In("run"));
        string[] before = RunFiles.Names(trained.In("run")), tables = RunFiles.Tables(trained.In("run"));

        trained.Refusal(command).Should().Contain("run is being trained by another process; wait for it, ");

        RunFiles.Names(trained.In("run")).Should().BeEquivalentTo(before);
        RunFiles.Tables(trained.In("run")).Should().Equal(tables);
        trained.Run(0, "eval", "run", "--out", "beside", "--force");
        trained.Run(0, "convert", "run", "beside.pth", "--force");
    }
}
