using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Diagnosis;

/// <summary>Facts about the machine, apart from libtorch. Sizes are in bytes; null means unknown.</summary>
internal sealed record HostFacts
{
    /// <summary>The .NET runtime and the operating system.</summary>
    public required string Dotnet { get; init; }

    public required string? Processor { get; init; }

    /// <summary>Vector instructions that libtorch's fast kernels use, such as AVX2; null if the processor is not x86.</summary>
    public required IReadOnlyList<string>? VectorUnits { get; init; }

    /// <summary>Cores available to this process.</summary>
    public required int Cores { get; init; }

    public required int? TotalCores { get; init; }

    /// <summary>Memory available to this process, including what it already uses: the system's, or the container's limit.</summary>
    public required long? MemoryAvailable { get; init; }

    /// <summary>The folder for runs; it need not exist yet.</summary>
    public required string RunFolder { get; init; }

    public required long? RunFolderFree { get; init; }

    /// <summary>The environment variables that affect libtorch and its memory, as set by the user.</summary>
    public required IReadOnlyDictionary<string, string> Variables { get; init; }

    /// <summary>Whether an NVIDIA driver is installed.</summary>
    public required bool HasNvidiaDriver { get; init; }

    public required bool HasPythonTorch { get; init; }

    public static HostFacts Gather()
    {
        string runs = Path.GetFullPath("runs");
        AvailableResources available = AvailableResources.Query(runs);
        return new()
        {
            Dotnet = $"{RuntimeInformation.FrameworkDescription} on {RuntimeInformation.OSDescription}, "
                + $"{RuntimeInformation.OSArchitecture}",
            Processor = Machine.ProcessorName(),
            VectorUnits = X86Base.IsSupported ? [.. Units()] : null,
            Cores = Environment.ProcessorCount,
            TotalCores = Machine.Lines("/proc/cpuinfo")
                .Count(line => line.StartsWith("processor", StringComparison.Ordinal)) is > 0 and int count
                ? count
                : null,
            MemoryAvailable = available.Memory,
            RunFolder = runs,
            RunFolderFree = available.Disk,
            Variables = GatherVariables(),
            HasNvidiaDriver = Directory.Exists("/proc/driver/nvidia/gpus"),
            HasPythonTorch = Directory.Exists("/usr/lib/python3/dist-packages/torch"),
        };
    }

    private static IEnumerable<string> Units()
    {
        if (Avx2.IsSupported)
        {
            yield return "AVX2";
        }

        if (Avx512F.IsSupported)
        {
            yield return "AVX-512";
        }
    }

    private static Dictionary<string, string> GatherVariables() => Environment.GetEnvironmentVariables()
        .Cast<System.Collections.DictionaryEntry>()
        .Select(entry => (Name: (string)entry.Key, Value: (string?)entry.Value ?? ""))
        .Where(entry => entry.Name is "LIBTORCH" or "LD_PRELOAD" or "GLIBC_TUNABLES" or "OMP_NUM_THREADS" or "OMP_WAIT_POLICY"
            || entry.Name.StartsWith("MALLOC_", StringComparison.Ordinal))
        .ToDictionary(entry => entry.Name, entry => entry.Value);

}

/// <summary>The MPI library that ranks would use.</summary>
/// <param name="Found">Its version and file.</param>
/// <param name="Launcher">Its own launcher; null if not found.</param>
/// <param name="Problem">Why it cannot be used; null if it can.</param>
internal sealed record MpiFacts(string Found, string? Launcher, string? Problem = null)
{
    public static MpiFacts? Gather()
    {
        try
        {
            return MpiLibrary.Find(MpiFamily.OpenMpi, MpiFamily.Mpich) is { } library
                ? new($"{library.Version}: {library.Path}", MpiLauncher.FindFor(library))
                : null;
        }
        catch (UsageException e)
        {
            return new("", null, e.Message);
        }
    }
}
