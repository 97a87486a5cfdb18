using System.Diagnostics;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>The libtorch of this process, or why there is none.</summary>
internal sealed record TorchFacts
{
    /// <summary>Why libtorch cannot be used; null: it can.</summary>
    public string? Problem { get; init; }

    public string? Version { get; init; }

    public int CudaDevices { get; init; }

    /// <summary>Whether JPEG and PNG files can be read.</summary>
    public bool ReadsPictures { get; init; }

    /// <summary>The copy of TorchSharp's library that this system's older libstdc++ takes; null: TorchSharp's own is loaded.</summary>
    public string? Copy { get; init; }

    /// <summary>The files of the libraries that the process has loaded.</summary>
    public IReadOnlyList<string> Libraries { get; init; } = [];

    /// <summary>The options of the C allocator that are in force.</summary>
    public IReadOnlyList<(string Name, string Value)> Allocator { get; init; } = [];

    /// <summary>Loads libtorch and computes something small, whatever comes of it.</summary>
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

        return facts with { Libraries = Loaded(), Copy = TorchLibraries.Copy, Allocator = TorchLibraries.AllocatorSettings, ReadsPictures = Picture.IsAvailable };
    }

    // The product makes libtorch load whatever it multiplies with.
    private static string Use()
    {
        using DisposeScope scope = NewDisposeScope();
        float sum = ones([8, 8]).matmul(ones([8, 8])).sum().item<float>();
        return sum == 512 ? TorchLibraries.Version : throw new InvalidOperationException($"libtorch {TorchLibraries.Version} computes wrongly: a sum is {sum}, not 512");
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
