using System.Collections.Concurrent;
using System.Diagnostics;
using Imta.MetaWeight.Experiments.Commands;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Tests.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta data</c> as a user runs it; the real archive is too large for a test, so these end before it is unpacked.</summary>
public sealed class DataCommandTests : IDisposable
{
    private static readonly CifarFormat Ten = CifarFormat.Cifar10;

    private readonly TemporaryFolder _folder = new();

    private string Part => _folder.In("data", Ten.Archive + ".part");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("cifar10", "data")]
    [InlineData("cifar100", "my data")]
    public void Complete_data_is_left_as_it_is(string key, string root)
    {
        CifarFormat format = key == "cifar10" ? Ten : CifarFormat.Cifar100;
        Directory.CreateDirectory(_folder.In(root, format.Folder));
        foreach (string name in format.Files)
        {
            using FileStream file = File.Create(_folder.In(root, format.Folder, name));
            file.SetLength(format.FileBytes(name)); // holes: they take no space
        }

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, ["data", key, .. root == "data" ? (string[])[] : ["--data", root]]);

        result.Code.Should().Be(0, result.All);
        string config = Path.Combine(AppContext.BaseDirectory, "configs", $"{key}-l2w.yaml");
        File.Exists(config).Should().BeTrue();
        result.Output.Should().Be($"{format.Name} is already complete in {root}/{format.Folder}\nimta train {config} --data "
            + $"{(root == "data" ? root : $"'{root}'")}\n");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_stopped_download_goes_on_where_it_was(bool killed)
    {
        using var server = new ArchiveServer(Ten.Archive, new byte[400_000]) { HoldAfter = 150_000 };
        using (ImtaProcess process = ImtaProcess.Start(_folder.Path, "data", "cifar10", "--from", $"{server.Folder}"))
        {
            process.WaitUntil(() => File.Exists(Part) && new FileInfo(Part).Length == 150_000);
            if (killed)
            {
                process.Kill();
            }
            else
            {
                process.Interrupt();
            }

            ImtaProcess.Result stopped = process.End();
            stopped.Code.Should().Be(killed ? 137 : ImtaProcess.Interrupted, stopped.All);
            stopped.Error.Should().BeEmpty();
            stopped.Output.Should().Contain($"downloading {server.File}");
            if (!killed)
            {
                stopped.Output.Should().Contain("stopped").And.Contain("run the same command to resume");
            }
        }

        server.Release();
        ImtaProcess.Result resumed = Fetch($"{server.Folder}".TrimEnd('/'));

        server.Requests.Should().Equal("all", "bytes=150000- if \"one\"");
        ShouldEndInOneLine(resumed, 1, Ten.ArchiveMd5, "MD5", "--from"); // zeros are not CIFAR-10
        Directory.EnumerateFileSystemEntries(_folder.In("data")).Should().BeEmpty();
    }

    [Fact]
    public void Without_a_server_one_line_says_what_to_do()
    {
        string address;
        using (var server = new ArchiveServer(Ten.Archive, []))
        {
            address = $"{server.Folder}";
        }

        ShouldEndInOneLine(Fetch(address), 1, address + Ten.Archive, "Connection refused", "by hand", "data");
    }

    [Fact]
    public void A_server_that_has_it_not_is_told()
    {
        using var server = new ArchiveServer("another", []);
        ShouldEndInOneLine(Fetch($"{server.Folder}"), 1, "404", Ten.Archive, "--from");
    }

    [Theory]
    [InlineData("mnist", null, null, "cifar10")]
    [InlineData("cifar10", "stray", null, "stray")]
    [InlineData("cifar10", "--data", "file.txt", "file.txt")]
    [InlineData("cifar10", "--data", "/proc/data", "/proc/data")]
    [InlineData("cifar10", "--data", "half", "data_batch_2.bin is missing")]
    [InlineData("cifar10", "--from", "ftp://example.org", "--from")]
    [InlineData("cifar10", "--from", "nonsense", "--from")]
    public void Wrong_input_is_refused_in_one_line(string name, string? option, string? value, string named)
    {
        File.WriteAllText(_folder.In("file.txt"), "mine");
        Directory.CreateDirectory(_folder.In("half", Ten.Folder));
        using (FileStream first = File.Create(_folder.In("half", Ten.Folder, "data_batch_1.bin")))
        {
            first.SetLength(Ten.FileBytes("data_batch_1.bin"));
        }

        string[] arguments = [.. new[] { "data", name, option, value }.OfType<string>()];
        ShouldEndInOneLine(ImtaProcess.Run(_folder.Path, arguments), 2, named);

        Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName).Should().BeEquivalentTo("file.txt", "half");
        Directory.EnumerateFileSystemEntries(_folder.In("half")).Should().ContainSingle();
    }

    [Fact]
    public void On_a_terminal_a_bar_shows_how_far_it_is()
    {
        Skip.IfNot(File.Exists("/usr/bin/script"), "script (bsdutils), which gives a command a terminal, is not here");
        using var server = new ArchiveServer(Ten.Archive, new byte[4_000_000]) { HoldAfter = 3_000_000 };
        var start = new ProcessStartInfo(
            "/usr/bin/script",
            ["-qec", $"dotnet {Path.Combine(AppContext.BaseDirectory, "imta.dll")} data cifar10 --from {server.Folder}", "/dev/null"])
        {
            WorkingDirectory = _folder.Path,
            RedirectStandardOutput = true,
        };
        start.Environment["TERM"] = "xterm-256color";

        using Process process = Process.Start(start)!;
        var shown = new ConcurrentQueue<string>();
        process.OutputDataReceived += (_, line) => shown.Enqueue(line.Data ?? "");
        process.BeginOutputReadLine();
        SpinWait.SpinUntil(() => shown.Any(line => line.Contains("75%") && line.Contains("3 of 4 MB")), TimeSpan.FromMinutes(1)).Should()
            .BeTrue();
        server.Release();
        process.WaitForExit();

        shown.Should().Contain(line => line.Contains("MD5"));
    }

    [Theory]
    [InlineData(34_000_000, 170_000_000, 30_000_000, 10, "34 of 170 MB, 3.0 MB/s, 0:00:45 left")]
    [InlineData(34_000_000, null, 30_000_000, 10, "34 MB, 3.0 MB/s")]
    [InlineData(34_000_000, 170_000_000, 0, 10, "34 of 170 MB")]
    [InlineData(1_000_000, 170_000_000, 1_000_000, 60, "1 of 170 MB, 0.0 MB/s, 2:49:00 left")]
    public void A_line_says_how_much_how_fast_and_how_long(long here, int? total, long came, int seconds, string line)
        => TransferProgress.Describe(here, total, came, TimeSpan.FromSeconds(seconds)).Should().Be(line);

    private ImtaProcess.Result Fetch(string from) => ImtaProcess.Run(_folder.Path, "data", "cifar10", "--data", "data", "--from", from);

    private static void ShouldEndInOneLine(ImtaProcess.Result result, int code, params string[] named)
    {
        result.Code.Should().Be(code, result.All);
        result.Error.Should().StartWith("imta: ").And.EndWith("\n");
        result.Error.TrimEnd('\n').Should().NotContain("\n", "one line").And.NotContain("   at ").And.ContainAll(named);
    }
}
