using System.Diagnostics;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Experiments.Diagnosis;

/// <summary>The libtorch of this process, or why there is none.</summary>
internal sealed record TorchFacts
{
    /// <summary>The name of this project's own library on libtorch.</summary>
    public const string NativeLibrary = "libimta_native.so";

    /// <summary>Whether TorchSharp is the NuGet package, which brings its libtorch, and not the project on the native library.</summary>
    public required bool IsPackage { get; init; }

    /// <summary>Where the native library belongs.</summary>
    public required string NativePath { get; init; }

    public required bool NativeExists { get; init; }

    /// <summary>Why libtorch cannot be used; null: it can.</summary>
    public string? Problem { get; init; }

    public string? Version { get; init; }

    public int CudaDevices { get; init; }

    /// <summary>The vector instructions of the fused kernels; null without the native library.</summary>
    public VectorPath? Kernels { get; init; }

    /// <summary>Whether JPEG and PNG files can be read.</summary>
    public bool ReadsPictures { get; init; }

    /// <summary>The threads of one operator, unless a run sets others.</summary>
    public int Threads { get; init; }

    /// <summary>The files of the libraries that the process has loaded.</summary>
    public IReadOnlyList<string> Libraries { get; init; } = [];

    /// <summary>What <see cref="ProcessDefaults"/> says is in force.</summary>
    public IReadOnlyList<(string Name, string Value)> Settings { get; init; } = [];

    /// <summary>Loads libtorch and computes something small, whatever comes of it.</summary>
    public static TorchFacts Gather()
    {
        string native = Path.Combine(AppContext.BaseDirectory, NativeLibrary);
        var facts = new TorchFacts
        {
            IsPackage = typeof(torch).Assembly.GetReferencedAssemblies().All(name => name.Name != typeof(Runtime).Assembly.GetName().Name),
            NativePath = native,
            NativeExists = File.Exists(native),
        };
        try
        {
            facts = facts with { Version = Use(), CudaDevices = cuda.is_available() ? cuda.device_count() : 0, Threads = get_num_threads() };
            facts = facts with { Kernels = Runtime.IsAvailable ? NormReluKernels.Path : null, ReadsPictures = Picture.IsAvailable };
        }
        catch (Exception e)
        {
            facts = facts with { Problem = Reason(e) };
        }

        return facts with { Libraries = Loaded(), Settings = ProcessDefaults.InForce };
    }

    // The product makes libtorch load whatever it multiplies with.
    private static string Use()
    {
        using DisposeScope scope = NewDisposeScope();
        float sum = ones([8, 8]).matmul(ones([8, 8])).sum().item<float>();
        return sum == 512 ? __version__ : throw new InvalidOperationException($"libtorch {__version__} computes wrongly: a sum is {sum}, not 512");
    }

    /// <summary>The loader's message lists every place it tried, and among them the file that is really missing.</summary>
    internal static string Reason(Exception exception)
    {
        Exception cause = exception.GetBaseException();
        string[] lines = [.. cause.Message.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0)];
        string[] tried = cause is DllNotFoundException ? lines[1..] : [];
        return tried.FirstOrDefault(line => !line.Contains("No such file", StringComparison.Ordinal))
            ?? tried.FirstOrDefault(line => !line.Contains("imta_native", StringComparison.Ordinal))
            ?? tried.FirstOrDefault()
            ?? string.Join(' ', lines);
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
