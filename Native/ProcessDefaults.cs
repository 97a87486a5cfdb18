using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>
/// What must hold before libtorch is loaded, set in the process's own environment: under the launcher, <c>dotnet test</c> or
/// any program that uses the library alike. A variable that the user set stays as it is.
/// </summary>
public static partial class ProcessDefaults
{
    // Small products only: OpenBLAS's idle workers spin beside libtorch's own threads and cost more than they give.
    private static readonly (string Name, string Value)[] Variables = [("OPENBLAS_NUM_THREADS", "1")];

    // Keep freed memory instead of giving it back: a step allocates the same blocks over and over, and page faults add up.
    private static readonly (string Name, int Option, int Value)[] AllocatorOptions =
    [
        ("M_MMAP_MAX", -4, 0),
        ("M_TRIM_THRESHOLD", -1, int.MaxValue),
    ];

    /// <summary>What is in force in this process: the variables of its C environment, and the options of its C allocator that were
    /// set. Empty before libtorch is first used through this library, and on other systems than Linux.</summary>
    public static IReadOnlyList<(string Name, string Value)> InForce { get; private set; } = [];

    internal static void Apply()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        var inForce = new List<(string, string)>();
        foreach ((string name, string value) in Variables)
        {
            _ = SetEnvironment(name, value, 0);
            inForce.Add((name, Marshal.PtrToStringUTF8(GetEnvironment(name)) ?? ""));
        }

        foreach ((string name, int option, int value) in AllocatorOptions)
        {
            if (MallocOption(option, value) != 0)
            {
                inForce.Add((name, $"{value}"));
            }
        }

        InForce = inForce;
    }

    /// <summary>Debian's libtorch starts with one thread; the processor's cores that this process may use are meant to be used.</summary>
    internal static void UseAllCores()
    {
        if (Environment.GetEnvironmentVariable("OMP_NUM_THREADS") is not null)
        {
            return;
        }

        try
        {
            _ = NativeMethods.ThreadsSet(Environment.ProcessorCount);
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException)
        {
            // The call that made this class known fails in the same way, where its caller expects it.
        }
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);

    [LibraryImport("libc", EntryPoint = "getenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial nint GetEnvironment(string name);

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int MallocOption(int option, int value);
}
