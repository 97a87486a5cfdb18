using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>
/// What must hold before libtorch is loaded, set in the process's own environment: under the launcher, <c>dotnet test</c> or
/// any program that uses the library alike. A variable that the user set stays as it is.
/// </summary>
internal static partial class ProcessDefaults
{
    private const int MmapMax = -4;
    private const int TrimThreshold = -1;

    public static void Apply()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        // Small products only: OpenBLAS's idle workers spin beside libtorch's own threads and cost more than they give.
        _ = SetEnvironment("OPENBLAS_NUM_THREADS", "1", 0);

        // Keep freed memory instead of giving it back: a step allocates the same blocks over and over, and page faults add up.
        _ = MallocOption(MmapMax, 0);
        _ = MallocOption(TrimThreshold, int.MaxValue);
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int MallocOption(int option, int value);
}
