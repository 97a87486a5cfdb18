using System.Diagnostics;
using System.Text.Json;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta doctor</c> on this machine, and on this machine without what it needs.</summary>
public sealed class DoctorCommandTests : IDisposable
{
    private static readonly string[] Checks =
        [
            ".NET", "libtorch", "TorchSharp", "threads", "allocator", "processor", "fused kernels", "pictures", "CUDA", "MPI", "memory",
            "disk", "python3-torch"
        ];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_machine_that_runs_these_tests_misses_nothing()
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "doctor");

        result.Code.Should().Be(0, result.All);
        result.Error.Should().BeEmpty();
        result.Output.Should()
            .MatchRegex($"\nlibtorch +ok +2[.]10[.]0, ").And.Contain($"free in {_folder.Path}").And.NotContain("missing:");
        string[] lines = result.Output.Split('\n');
        Checks.Should().OnlyContain(check => lines.Any(line => line.StartsWith(check + " ", StringComparison.Ordinal)));
    }

    [Fact]
    public void Json_has_every_check()
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "doctor", "--json");

        result.Code.Should().Be(0, result.All);
        JsonElement[] findings = Findings(result);
        findings.Select(finding => finding.GetProperty("check").GetString()).Should().Equal(Checks);
        findings.Select(finding => finding.GetProperty("verdict").GetString()).Should()
            .OnlyContain(verdict => verdict == "ok" || verdict == "note" || verdict == "warning");
        findings.Should()
            .OnlyContain(
                finding
                    => finding.GetProperty("found").GetString() != ""
                        && finding.EnumerateObject().Any(property => property.Name == "advice"));
    }

    [Fact]
    public void The_libtorch_in_use_and_what_was_set_for_it_are_named()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "elsewhere TorchSharp finds libtorch by itself");
        JsonElement[] findings = Findings(ImtaProcess.Run(_folder.Path, [("MALLOC_ARENA_MAX", "3")], "doctor", "--json"));

        Found(findings, "libtorch").Should()
            .EndWith($"from the NuGet package: {Path.Combine(AppContext.BaseDirectory, "libtorch", "libtorch_cpu.so")}");
        Found(findings, "TorchSharp").Should().MatchRegex(@"/libLibTorchSharp(-[0-9.]+)?\.so$");
        Found(findings, "allocator").Should().Be("M_MMAP_MAX=0, M_TRIM_THRESHOLD=2147483647; MALLOC_ARENA_MAX=3");
    }

    [Fact]
    public void A_libtorch_that_is_not_there_is_told_and_the_rest_still_shows()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "elsewhere TorchSharp finds libtorch by itself");
        foreach (string file in Directory.EnumerateFiles(AppContext.BaseDirectory)
            .Where(file => Path.GetExtension(file) is ".dll" or ".json"))
        {
            File.Copy(file, _folder.In(Path.GetFileName(file)));
        }

        var start = new ProcessStartInfo(
            "dotnet", [_folder.In("imta.dll"), "doctor"])
        { WorkingDirectory = _folder.Path, RedirectStandardOutput = true };
        start.Environment["NUGET_PACKAGES"] = _folder.Path; // where TorchSharp would look next
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();

        process.ExitCode.Should().Be(1, output);
        output.Should()
            .MatchRegex($"\nlibtorch +missing +cannot be used: there is none in {_folder.Path}")
            .And.Contain("-> in the source tree, remove the folder artifacts").And.MatchRegex(
                "\nmemory +(ok|warning)").And.Contain("missing: 1");
    }

    [Theory]
    [InlineData("/nowhere")]
    [InlineData("/usr/bin")]
    public void LIBTORCH_without_libtorch_is_told(string folder)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "LIBTORCH is for Linux");
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, [("LIBTORCH", folder)], "doctor");

        result.Code.Should().Be(1, result.All);
        result.Output.Should().Contain($"cannot be used: LIBTORCH is {folder}, which has no libtorch_cpu.so")
            .And.NotContain("-> in the source tree");
    }

    [Fact]
    public void LIBTORCH_that_cannot_be_loaded_is_one_line_with_the_ways_out()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "LIBTORCH is for Linux");
        File.WriteAllText(_folder.In("libtorch_cpu.so"), "no library");

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, [("LIBTORCH", _folder.Path)], "doctor");

        result.Code.Should().Be(1, result.All);
        result.Output.Split('\n').Where(line => line.StartsWith("libtorch ", StringComparison.Ordinal)).Should().Equal(
            $"libtorch       missing  cannot be used: LIBTORCH is {_folder.Path}, whose libtorch_cpu.so cannot be loaded: "
                + $"{_folder.In("libtorch_cpu.so")}: file too short; use another libtorch, or unset it to use the package's.");
        result.Output.Should().NotContain("-> in the source tree").And.NotContain("doctor");
    }

    [Theory]
    [InlineData("stray")]
    [InlineData("--xml")]
    public void Stray_arguments_are_refused(string argument)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "doctor", argument);

        result.Code.Should().Be(2, result.All);
        result.Output.Should().BeEmpty();
        result.Error.Should().StartWith("imta: ").And.Contain(argument);
        result.Error.TrimEnd('\n').Should().NotContain("\n");
    }

    private static JsonElement[] Findings(ImtaProcess.Result result) => [.. JsonDocument.Parse(result.Output).RootElement.EnumerateArray()];

    private static string? Found(JsonElement[] findings, string check)
        => findings.Single(finding => finding.GetProperty("check").GetString() == check).GetProperty("found").GetString();
}
