using System.Globalization;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>The machine's resources available to a run; null if unknown.</summary>
/// <param name="Disk">Free bytes on the drive of the run folder.</param>
/// <param name="Memory">Bytes of CPU or GPU memory available to this process; for the CPU, including what it already uses.</param>
internal sealed record AvailableResources(long? Disk, long? Memory)
{
    /// <summary>Queries the machine.</summary>
    /// <param name="runFolder">The run folder; it need not exist yet.</param>
    /// <param name="gpu">libtorch's index of the run's CUDA device; null: the CPU.</param>
    public static AvailableResources Query(string runFolder, int? gpu = null)
        => new(FreeDisk(runFolder), gpu is { } number ? CudaDevices.FreeMemory(number) : FreeMemory("/") + Environment.WorkingSet);

    /// <summary>The memory in bytes that the system and all enclosing control groups still allow; null outside Linux.</summary>
    /// <param name="root">The file system's root.</param>
    internal static long? FreeMemory(string root)
    {
        string meminfo = Path.Combine(root, "proc/meminfo");
        return File.Exists(meminfo) && Value(meminfo, "MemAvailable:") is { } kib
            ? CgroupLimits(root).Append(kib * ByteSize.Kib).Min()
            : null;
    }

    private static long? FreeDisk(string folder)
    {
        string? there = Path.GetFullPath(folder);
        while (there is not null && !Directory.Exists(there))
        {
            there = Path.GetDirectoryName(there);
        }

        try
        {
            return there is null ? null : new DriveInfo(OperatingSystem.IsWindows() ? Path.GetPathRoot(there)! : there).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return null;
        }
    }

    /// <summary>The remaining memory of this process's control groups, versions 2 and 1.</summary>
    private static IEnumerable<long> CgroupLimits(string root)
    {
        string groups = Path.Combine(root, "proc/self/cgroup");
        foreach (string[] line in File.Exists(groups) ? File.ReadLines(groups).Select(line => line.Split(':', 3)) : [])
        {
            if (line is ["0", "", var unified])
            {
                foreach (long available in AncestorLimits(
                    Path.Combine(root, "sys/fs/cgroup"), unified, "memory.max", "memory.current", "inactive_file"))
                {
                    yield return available;
                }
            }
            else if (line.Length == 3 && line[1].Split(',').Contains("memory"))
            {
                foreach (long available in AncestorLimits(
                    Path.Combine(root, "sys/fs/cgroup/memory"), line[2],
                    "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))
                {
                    yield return available;
                }
            }
        }
    }

    // In a container the group's own folder may not be visible; limits of its visible ancestors still apply.
    private static IEnumerable<long> AncestorLimits(string mount, string group, string limit, string use, string reclaimable)
    {
        string[] segments = group.Split('/', StringSplitOptions.RemoveEmptyEntries);
        for (int depth = segments.Length; depth >= 0; depth--)
        {
            string folder = Path.Combine([mount, .. segments[..depth]]);
            if (Number(Path.Combine(folder, limit)) is { } most && Number(Path.Combine(folder, use)) is { } used)
            {
                yield return most - used + (Value(Path.Combine(folder, "memory.stat"), reclaimable) ?? 0); // file caches are reclaimable
            }
        }
    }

    /// <summary>The number in a file; null if there is no file or it says <c>max</c>.</summary>
    private static long? Number(string file)
        => File.Exists(file) && long.TryParse(File.ReadAllText(file), NumberStyles.Integer, CultureInfo.InvariantCulture, out long number)
            ? number
            : null;

    /// <summary>The number after a key at the start of a line.</summary>
    private static long? Value(string file, string key)
        => File.Exists(file) ? File.ReadLines(file).Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .FirstOrDefault(words => words is [var first, _, ..] && first == key)?[1] is { } text
            && long.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out long number) ? number : null
            : null;
}

/// <summary>The machine, as described by its operating system.</summary>
internal static class Machine
{
    /// <summary>The processor's model, if the system reports it.</summary>
    public static string? ProcessorName()
        => Lines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim();

    public static string[] Lines(string path)
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

/// <summary>Human-readable byte counts.</summary>
internal static class ByteSize
{
    public const long Kib = 1024;
    public const long Mib = 1024 * Kib;
    public const long Gib = 1024 * Mib;
    public const long Tib = 1024 * Gib;

    /// <summary>For example <c>1.2 GiB</c>, <c>40 MiB</c>, <c>700 KiB</c>.</summary>
    public static string Text(long bytes)
    {
        (long unit, string name) = bytes switch
        {
            >= Tib => (Tib, "TiB"),
            >= Gib => (Gib, "GiB"),
            >= Mib => (Mib, "MiB"),
            _ => (Kib, "KiB"),
        };
        double value = (double)bytes / unit;
        return value.ToString(value < 9.95 ? "0.0" : "0", CultureInfo.InvariantCulture) + " " + name;
    }
}
