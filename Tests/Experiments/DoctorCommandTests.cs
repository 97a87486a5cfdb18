using System.Diagnostics;
using System.Text.Json;
using Imta.MetaWeight.Tests.TorchSharp;

namespace Imta.MetaWeight.Tests.Experiments;

/// <summary><c>imta doctor</c> on this machine, and on this machine without what it needs.</summary>
public sealed class DoctorCommandTests : IDisposable
{
    private static readonly string[] Checks =
        [".NET", "native library", "libtorch", "BLAS", "threads", "allocator", "processor", "fused kernels", "pictures", "CUDA", "MPI", "memory", "disk", "python3-torch"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_machine_that_runs_these_tests_misses_nothing()
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "doctor");

        result.Code.Should().Be(0, result.All);
        result.Error.Should().BeEmpty();
        result.Output.Should().MatchRegex($"\nlibtorch +ok +{torch.__version__}").And.Contain($"free in {_folder.Path}").And.NotContain("missing:");
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
        findings.Select(finding => finding.GetProperty("verdict").GetString()).Should().OnlyContain(verdict => verdict == "ok" || verdict == "note" || verdict == "warning");
        findings.Should().OnlyContain(finding => finding.GetProperty("found").GetString() != "" && finding.EnumerateObject().Any(property => property.Name == "advice"));
    }

    [SkippableFact]
    public void The_native_library_its_libtorch_and_what_was_set_for_them_are_named()
    {
        Skip.IfNot(TorchSource.IsSystem && OperatingSystem.IsLinux(), "TorchSharp is the package here");
        JsonElement[] findings = Findings(ImtaProcess.Run(_folder.Path, [("OPENBLAS_NUM_THREADS", "1"), ("MALLOC_ARENA_MAX", "3")], "doctor", "--json"));

        Found(findings, "native library").Should().Be(Path.Combine(AppContext.BaseDirectory, "libimta_native.so"));
        Found(findings, "libtorch").Should().MatchRegex(@"/libtorch_cpu\.so[.0-9]*$");
        Found(findings, "allocator").Should().Be("M_MMAP_MAX=0, M_TRIM_THRESHOLD=2147483647; MALLOC_ARENA_MAX=3");
    }

    [SkippableFact]
    public void A_libtorch_that_cannot_be_loaded_is_told_and_the_rest_still_shows()
    {
        Skip.IfNot(TorchSource.IsSystem && OperatingSystem.IsLinux(), "TorchSharp is the package here");
        using (torch.ones([1]))
        {
            // so that its libraries are loaded here
        }

        using var process = Process.GetCurrentProcess();
        foreach (string library in process.Modules.Cast<ProcessModule>().Select(module => Path.GetFileName(module.FileName)).Where(name => name.StartsWith("libtorch", StringComparison.Ordinal)))
        {
            // libtorch_cpu.so.1.13.0 is asked for as libtorch_cpu.so.1.13, and elsewhere as libtorch_cpu.so.
            for (string name = library; name.Contains(".so", StringComparison.Ordinal); name = Path.GetFileNameWithoutExtension(name))
            {
                File.WriteAllText(_folder.In(name), "");
            }
        }

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, [("LD_LIBRARY_PATH", _folder.Path)], "doctor");

        result.Code.Should().Be(1, result.All);
        result.Output.Should().MatchRegex("\nlibtorch +missing +cannot be used: .*file too short")
            .And.Contain("-> as root: apt-get install libtorch-dev").And.Contain("LIBTORCH=").And.MatchRegex("\nmemory +(ok|warning)").And.Contain("missing: 2");
        result.Error.Should().BeEmpty();
    }

    [SkippableFact]
    public void A_native_library_that_is_not_there_is_told()
    {
        Skip.IfNot(TorchSource.IsSystem && OperatingSystem.IsLinux(), "TorchSharp is the package here");
        foreach (string file in Directory.EnumerateFiles(AppContext.BaseDirectory).Where(file => Path.GetExtension(file) is ".dll" or ".json"))
        {
            File.Copy(file, _folder.In(Path.GetFileName(file)));
        }

        var start = new ProcessStartInfo("dotnet", [_folder.In("imta.dll"), "doctor"]) { WorkingDirectory = _folder.Path, RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();

        process.ExitCode.Should().Be(1, output);
        output.Should().MatchRegex($"\nnative library +missing +{_folder.In("libimta_native.so")} is not there\n").And.Contain("-> start by ./imta").And.MatchRegex("\nlibtorch +missing");
    }

    [Fact]
    public void LIBTORCH_pointing_nowhere_is_told()
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, [("LIBTORCH", "/nowhere")], "doctor");

        result.Code.Should().Be(1, result.All);
        result.Output.Should().Contain("-> LIBTORCH is /nowhere, where no libtorch is");
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
