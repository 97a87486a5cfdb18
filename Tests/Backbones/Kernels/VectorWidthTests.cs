using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>The kernels at every width of vectors that this processor can be held to, each in a process of its own.</summary>
public sealed class VectorWidthTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("imta-widths-").FullName;

    /// <inheritdoc/>
    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void All_widths_with_a_fused_multiply_add_give_the_same_bits()
    {
        Skip.IfNot(Vector512.IsHardwareAccelerated, "this processor has no AVX-512");
        (int wide, double[] ours) = Run();
        (int narrow, double[] others) = Run(("DOTNET_EnableAVX512", "0"), ("DOTNET_EnableAVX512F", "0")); // .NET 10's name, and older ones'

        (wide, narrow).Should().Be((512, 256));
        others.AsSpan().SequenceEqual(ours).Should().BeTrue();
    }

    [Theory]
    [InlineData("DOTNET_EnableAVX2", 128)]
    [InlineData("DOTNET_EnableHWIntrinsic", 0)]
    public void Narrower_ones_round_otherwise_and_differ_no_more(string setting, int width)
    {
        Skip.IfNot(Sse2.IsSupported, "the runtime of this processor has no such setting");
        (_, double[] ours) = Run();
        (int narrow, double[] others) = Run((setting, "0"));

        narrow.Should().Be(width);
        int start = 0;
        foreach ((int rows, int channels, ScalarType type) in VectorWidthProgram.Cases)
        {
            // y, dz, dy; mean and its like; sums over all rows, the largest of a size of √rows
            int elements = rows * channels, count = (3 * elements) + (6 * channels);
            double bound = (type == ScalarType.Float32 ? 1e-6 : 1e-15) * Math.Sqrt(rows);
            Difference(ours.AsSpan(start, count), others.AsSpan(start, count)).Should()
                .BeLessThan(bound, $"{rows} rows of {channels} channels, {type}");
            start += count;
        }

        foreach ((ConvolutionKernelsTests.Case one, ScalarType type, int terms) in VectorWidthProgram.Convolutions)
        {
            int count = (int)one.Results;
            Difference(ours.AsSpan(start, count), others.AsSpan(start, count)).Should()
                .BeLessThan((type == ScalarType.Float32 ? 1e-7 : 1e-16) * terms, $"{one}, {type}");
            start += count;
        }

        start.Should().Be(ours.Length);
    }

    private static double Difference(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        double largest = 0;
        for (int i = 0; i < a.Length; i++)
        {
            largest = Math.Max(largest, Math.Abs(a[i] - b[i])); // a NaN comes through
        }

        return largest;
    }

    /// <summary>The width and the results of a process with these settings.</summary>
    private (int Width, double[] Results) Run(params (string Name, string Value)[] settings)
    {
        var start = new ProcessStartInfo("dotnet", [typeof(VectorWidthTests).Assembly.Location, VectorWidthProgram.Name, _folder])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string value) in settings)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        process.ExitCode.Should().Be(0, errors.Result);
        byte[] bytes = File.ReadAllBytes(Path.Combine(_folder, VectorWidthProgram.File));
        return (int.Parse(output, CultureInfo.InvariantCulture), MemoryMarshal.Cast<byte, double>(bytes).ToArray());
    }
}
