using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>
/// The kernels at the vector width that this process has been left: what <see cref="VectorWidthTests"/> starts with settings of the
/// runtime. Numbers of threads and distances of rows must not change a bit here; the results go into a file, to be held against other
/// widths'.
/// </summary>
internal static class VectorWidthProgram
{
    /// <summary>Its first argument as a program; the second is a folder.</summary>
    public const string Name = "kernels";

    public const string File = "results.bin";

    /// <summary>Rows, channels and type of each case.</summary>
    public static readonly (int Rows, int Channels, ScalarType Type)[] Cases =
    [
        (30001, 6, ScalarType.Float32), (15001, 12, ScalarType.Float64), (9001, 17, ScalarType.Float32),
        (1501, 128, ScalarType.Float32), (901, 224, ScalarType.Float64),
    ];

    /// <summary>Convolutions, their type, and a bound of the terms that one of their results is a sum of.</summary>
    public static readonly (ConvolutionKernelsTests.Case Case, ScalarType Type, int Terms)[] Convolutions =
    [
        (new([5, 40, 16, 16], 6, 1, 1, 0), ScalarType.Float32, 1280), (new([7, 6, 15, 16], 6, 3, 1, 1), ScalarType.Float32, 1680),
        (new([7, 6, 16, 16], 12, 3, 2, 1), ScalarType.Float64, 448), (new([9, 50, 8, 8], 70, 3, 2, 1), ScalarType.Float32, 630),
        (new([64, 257, 8, 8], 70, 1, 1, 0), ScalarType.Float32, 4096), // so large that chunks are few
    ];

    /// <summary>Writes all results and prints the width in bits; 0: no vectors.</summary>
    /// <returns>The exit code: 0, or 1 where results differ within this process.</returns>
    public static int Run(string folder)
    {
        using FileStream file = System.IO.File.Create(Path.Combine(folder, File));
        foreach ((int rows, int channels, ScalarType type) in Cases)
        {
            using DisposeScope scope = NewDisposeScope();
            var inputs = new KernelInputs([rows, channels], type);
            if (!Write($"[{rows}, {channels}] {type}", isStrided => KernelRun.Ours(inputs, isStrided).Bits(), file))
            {
                return 1;
            }
        }

        foreach ((ConvolutionKernelsTests.Case one, ScalarType type, _) in Convolutions)
        {
            using DisposeScope scope = NewDisposeScope();
            if (!Write($"{one} {type}", isSliced => [.. ConvolutionKernelsTests.Ours(one, type, isSliced).Select(KernelRun.Elements)],
                file))
            {
                return 1;
            }
        }

        bool[] widths = [Vector512.IsHardwareAccelerated, Vector256.IsHardwareAccelerated, Vector128.IsHardwareAccelerated, true];
        Console.WriteLine(new[] { 512, 256, 128, 0 }[Array.IndexOf(widths, true)]);
        return 0;
    }

    /// <summary>Writes the results if they are the same for each number of threads and distance of rows.</summary>
    private static bool Write(string name, Func<bool, double[][]> results, FileStream file)
    {
        double[][]? first = null;
        foreach ((int threads, bool isStrided) in new[] { (1, false), (1, true), (2, false), (2, true), (3, false), (3, true) })
        {
            set_num_threads(threads);
            double[][] bits = results(isStrided);
            first ??= bits;
            if (!first.Zip(bits).All(pair => pair.First.AsSpan().SequenceEqual(pair.Second)))
            {
                Console.Error.WriteLine($"{name}: {threads} threads, strided {isStrided} give other bits than the first");
                return false;
            }
        }

        Array.ForEach(first!, one => file.Write(MemoryMarshal.AsBytes<double>(one)));
        return true;
    }
}
