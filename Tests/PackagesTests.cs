using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Tests.Docs;

namespace Imta.MetaWeight.Tests;

/// <summary>Which NuGet packages the program is built with, for each platform, as MSBuild evaluates the project.</summary>
public sealed class PackagesTests
{
    [Theory]
    [InlineData("linux-x64", "cpu", "libtorch-cpu-linux-x64")]
    [InlineData("win-x64", "cpu", "libtorch-cpu-win-x64")]
    [InlineData("win-arm64", "cpu", "libtorch-cpu-win-arm64")]
    [InlineData("osx-arm64", "cpu", "libtorch-cpu-osx-arm64")]
    [InlineData("linux-x64", "cuda", "TorchSharp-cuda-linux")]
    [InlineData("win-x64", "cuda", "TorchSharp-cuda-windows")]
    public void A_program_has_TorchSharp_and_the_libtorch_of_its_platform_alone(string platform, string torch, string libtorch)
        => Torch("-p:RuntimeIdentifier=" + platform, "-p:Torch=" + torch).Should().BeEquivalentTo("TorchSharp", libtorch);

    [Fact]
    public void Without_a_platform_it_is_this_machines()
    {
        string system = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux";
        string processor = RuntimeInformation.OSArchitecture.ToString().ToLowerInvariant();
        Torch().Should().BeEquivalentTo("TorchSharp", $"libtorch-cpu-{system}-{processor}");
    }

    [Theory]
    [InlineData("linux-x64", new[] { "SkiaSharp.NativeAssets.Win32", "SkiaSharp.NativeAssets.macOS" })]
    [InlineData("win-x64", new[] { "SkiaSharp.NativeAssets.macOS" })]
    [InlineData("osx-arm64", new[] { "SkiaSharp.NativeAssets.Win32" })]
    public void Native_libraries_of_pictures_for_other_platforms_are_not_fetched(string platform, string[] pruned)
        => Items("PrunePackageReference", "-p:RuntimeIdentifier=" + platform).Should().BeEquivalentTo(pruned);

    [Theory]
    [InlineData("linux-arm64", "cpu", "there is no libtorch package for linux-arm64 with Torch=cpu")]
    [InlineData("osx-arm64", "cuda", "there is no libtorch package for osx-arm64 with Torch=cuda")]
    [InlineData("linux-x64", "rocm", "Torch is 'rocm'; it must be cpu or cuda")]
    public void A_platform_without_libtorch_is_refused_in_one_line(string platform, string torch, string message)
    {
        (int code, string output) = MSBuild("-t:Restore", "-v:quiet", "-p:RuntimeIdentifier=" + platform, "-p:Torch=" + torch);

        code.Should().Be(1);
        output.Trim().Split('\n').Should().ContainSingle().Which.Should().Contain("error : " + message);
    }

    private static IEnumerable<string> Torch(params string[] properties)
        => Items("PackageReference,PackageDownload", properties)
            .Where(name => name is "TorchSharp" || name.Contains("libtorch") || name.Contains("cuda"));

    private static IEnumerable<string> Items(string kinds, params string[] properties)
    {
        (int code, string output) = MSBuild(["-getItem:" + kinds, .. properties]);
        code.Should().Be(0, output);
        using var items = JsonDocument.Parse(output);
        return [.. items.RootElement.GetProperty("Items").EnumerateObject().SelectMany(kind => kind.Value.EnumerateArray())
            .Select(item => item.GetProperty("Identity").GetString()!)];
    }

    private static (int Code, string Output) MSBuild(params string[] arguments)
    {
        string project = Path.Combine(MarkdownPage.Repository(), "Experiments", "Experiments.csproj");
        var start = new ProcessStartInfo("dotnet", ["msbuild", project, "-nologo", "-nodeReuse:false", .. arguments])
        {
            RedirectStandardOutput = true,
        };
        start.Environment.Remove("Torch");
        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output);
    }
}
