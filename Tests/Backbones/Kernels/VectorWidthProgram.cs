using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

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

    /// <summary>Writes all results and prints the width in bits; 0: no vectors.</summary>
    /// <returns>The exit code: 0, or 1 where results differ within this process.</returns>
    public static int Run(string folder)
    {
        using FileStream file = System.IO.File.Create(Path.Combine(folder, File));
        foreach ((int rows, int channels, ScalarType type) in Cases)
        {
            using DisposeScope scope = NewDisposeScope();
            var inputs = new KernelInputs([rows, channels], type);
            double[][]? first = null;
            foreach ((int threads, bool isStrided) in new[] { (1, false), (1, true), (2, false), (2, true), (3, false), (3, true) })
            {
                set_num_threads(threads);
                double[][] bits = KernelRun.Ours(inputs, isStrided).Bits();
                first ??= bits;
                if (!first.Zip(bits).All(pair => pair.First.AsSpan().SequenceEqual(pair.Second)))
                {
                    Console.Error.WriteLine(
                        $"[{rows}, {channels}] {type}: {threads} threads, strided {isStrided} give other bits than the first");
                    return 1;
                }
            }

            Array.ForEach(first!, one => file.Write(MemoryMarshal.AsBytes<double>(one)));
        }

        bool[] widths = [Vector512.IsHardwareAccelerated, Vector256.IsHardwareAccelerated, Vector128.IsHardwareAccelerated, true];
        Console.WriteLine(new[] { 512, 256, 128, 0 }[Array.IndexOf(widths, true)]);
        return 0;
    }
}
