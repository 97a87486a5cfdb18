using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Imta.MetaWeight.Experiments.Diagnosis;

/// <summary>What the machine is, apart from libtorch. Sizes are in bytes; null is not known here.</summary>
internal sealed record HostFacts
{
    /// <summary>The .NET runtime and the system it runs on.</summary>
    public required string Dotnet { get; init; }

    public required string? Processor { get; init; }

    /// <summary>Vector instructions that libtorch's fast kernels use, such as AVX2; null where it is no x86 processor.</summary>
    public required IReadOnlyList<string>? VectorUnits { get; init; }

    /// <summary>Cores that this process may use.</summary>
    public required int Cores { get; init; }

    public required int? CoresOfMachine { get; init; }

    public required long? Memory { get; init; }

    public required long? MemoryAvailable { get; init; }

    /// <summary>What the process's control group, such as a container, may have at most.</summary>
    public required long? MemoryLimit { get; init; }

    /// <summary>Where runs go: the nearest folder above that exists.</summary>
    public required string RunFolder { get; init; }

    public required long? RunFolderFree { get; init; }

    /// <summary>The environment variables that bear on libtorch and its memory, as the user set them.</summary>
    public required IReadOnlyDictionary<string, string> Variables { get; init; }

    /// <summary>Whether an NVIDIA driver is there.</summary>
    public required bool HasNvidiaDriver { get; init; }

    public required bool HasPythonTorch { get; init; }

    public static HostFacts Gather()
    {
        string runs = Path.GetFullPath("runs");
        string folder = Directory.Exists(runs) ? runs : Directory.GetCurrentDirectory();
        return new()
        {
            Dotnet = $"{RuntimeInformation.FrameworkDescription} on {RuntimeInformation.OSDescription}, {RuntimeInformation.OSArchitecture}",
            Processor = ProcessorName(),
            VectorUnits = X86Base.IsSupported ? [.. Units()] : null,
            Cores = Environment.ProcessorCount,
            CoresOfMachine = Lines("/proc/cpuinfo").Count(line => line.StartsWith("processor", StringComparison.Ordinal)) is > 0 and int count ? count : null,
            Memory = MemoryLine("MemTotal:"),
            MemoryAvailable = MemoryLine("MemAvailable:"),
            MemoryLimit = GroupLimit(Lines("/proc/self/cgroup"), "/sys/fs/cgroup"),
            RunFolder = folder,
            RunFolderFree = Free(folder),
            Variables = GatherVariables(),
            HasNvidiaDriver = Directory.Exists("/proc/driver/nvidia/gpus"),
            HasPythonTorch = Directory.Exists("/usr/lib/python3/dist-packages/torch"),
        };
    }

    /// <summary>The processor's model, where the system tells.</summary>
    public static string? ProcessorName()
        => Lines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim();

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
        .Where(entry => entry.Name is "LIBTORCH" or "LD_PRELOAD" or "GLIBC_TUNABLES" or "OMP_NUM_THREADS" or "OMP_WAIT_POLICY" or "OPENBLAS_NUM_THREADS"
            || entry.Name.StartsWith("MALLOC_", StringComparison.Ordinal))
        .ToDictionary(entry => entry.Name, entry => entry.Value);

    // "MemTotal:       24591628 kB"
    private static long? MemoryLine(string name)
        => Lines("/proc/meminfo").FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal)) is { } line
            && long.TryParse(line[name.Length..].Replace("kB", "", StringComparison.Ordinal), NumberStyles.Integer, CultureInfo.InvariantCulture, out long kib)
            ? kib * 1024
            : null;

    /// <summary>The smallest memory limit of a process's control group and of those above it, in bytes; null: there is none.</summary>
    /// <param name="membership">The lines of <c>/proc/self/cgroup</c>: <c>0::/a/b</c> (version 2), <c>4:memory:/a/b</c> (version 1).</param>
    /// <param name="mount">Where the groups are mounted.</param>
    internal static long? GroupLimit(IEnumerable<string> membership, string mount)
    {
        var limits =
            from line in membership
            let parts = line.Split(':', 3)
            where parts.Length == 3
            let version2 = parts[1].Length == 0
            where version2 || parts[1].Split(',').Contains("memory")
            from folder in From(version2 ? mount : Path.Combine(mount, "memory"), parts[2])
            from text in Lines(Path.Combine(folder, version2 ? "memory.max" : "memory.limit_in_bytes"))
            let limit = long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out long bytes) ? bytes : long.MaxValue
            select limit;
        return limits.DefaultIfEmpty(long.MaxValue).Min() is < long.MaxValue and long least ? least : null;

        static IEnumerable<string> From(string top, string path)
        {
            yield return top;
            foreach (string name in path.Split('/', StringSplitOptions.RemoveEmptyEntries))
            {
                yield return top = Path.Combine(top, name);
            }
        }
    }

    private static long? Free(string folder)
    {
        try
        {
            return new DriveInfo(folder).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    private static string[] Lines(string path)
    {
        try
        {
            return File.Exists(path) ? File.ReadAllLines(path) : [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
