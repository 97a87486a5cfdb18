using System.Diagnostics;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Diagnosis;

/// <summary>The libtorch of this process, or why it could not be loaded.</summary>
internal sealed record TorchFacts
{
    /// <summary>Why libtorch cannot be used; null if it can.</summary>
    public string? Problem { get; init; }

    public string? Version { get; init; }

    public int CudaDevices { get; init; }

    /// <summary>Whether image files can be decoded.</summary>
    public bool CanDecodeImages { get; init; }

    /// <summary>The patched copy of TorchSharp's library for systems with an older libstdc++; null if the original is loaded.</summary>
    public string? Copy { get; init; }

    /// <summary>Whether libtorch computes with oneDNN.</summary>
    public bool UsesOneDnn { get; init; } = true;

    /// <summary>The files of the native libraries loaded by the process.</summary>
    public IReadOnlyList<string> Libraries { get; init; } = [];

    /// <summary>The active options of the C allocator.</summary>
    public IReadOnlyList<(string Name, string Value)> Allocator { get; init; } = [];

    /// <summary>Loads libtorch and runs a small computation; never throws.</summary>
    public static TorchFacts Gather()
    {
        var facts = new TorchFacts();
        try
        {
            TorchLibraries.Prepare();
            facts = facts with { Version = Use(), CudaDevices = cuda.is_available() ? cuda.device_count() : 0 };
        }
        catch (Exception e)
        {
            facts = facts with { Problem = Libtorch.Reason(e) };
        }

        return facts with
        {
            Libraries = Loaded(),
            Copy = TorchLibraries.Copy,
            UsesOneDnn = TorchLibraries.UsesOneDnn,
            Allocator = TorchLibraries.AllocatorSettings,
            CanDecodeImages = ImageDecoder.IsAvailable,
        };
    }

    // The matrix product makes libtorch load its BLAS library.
    private static string Use()
    {
        using DisposeScope scope = NewDisposeScope();
        float sum = ones([8, 8]).matmul(ones([8, 8])).sum().item<float>();
        return sum == 512
            ? TorchLibraries.Version
            : throw new InvalidOperationException($"libtorch {TorchLibraries.Version} computes incorrectly: a sum is {sum}, not 512");
    }

    private static string[] Loaded()
    {
        try
        {
            using var process = Process.GetCurrentProcess();
            return [.. process.Modules.Cast<ProcessModule>().Select(module => module.FileName).Distinct()];
        }
        catch (Exception e) when (e is System.ComponentModel.Win32Exception or NotSupportedException or InvalidOperationException)
        {
            return [];
        }
    }
}
