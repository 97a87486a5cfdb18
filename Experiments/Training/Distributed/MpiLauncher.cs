using System.ComponentModel;
using System.Diagnostics;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>
/// The program that starts ranks for an MPI library: its own, because another library's launcher would start separate worlds of one rank
/// each.
/// </summary>
internal static class MpiLauncher
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);
    private static readonly string[] OpenMpiVariables = ["OpenRTE", "PRRTE", "prte", "Open MPI"];

    /// <summary>The launcher's file; null if none is found.</summary>
    public static string? FindFor(MpiLibrary library)
    {
        string[] own = library.Family == MpiFamily.OpenMpi ? ["mpirun.openmpi"] : ["mpirun.mpich", "mpiexec.hydra"];
        return Folders(library)
            .SelectMany(_ => (string[])[.. own, "mpirun", "mpiexec"], Path.Combine)
            .FirstOrDefault(file => File.Exists(file) && DetectFamily(file) == library.Family);
    }

    /// <summary>Arguments that start ranks on this machine only, whatever a cluster scheduler has allocated.</summary>
    public static string[] Arguments(MpiLibrary library, int size) => library.Family == MpiFamily.OpenMpi
        ? ["-n", $"{size}", "--host", $"localhost:{size}", "--bind-to", "none"] // it would bind each of two ranks to one core
        : ["-n", $"{size}", "-hosts", "localhost", "-launcher", "fork"];

    /// <summary>Additional launcher settings, as environment variables; each version reads its own.</summary>
    public static IEnumerable<(string Name, string Value)> Variables()
    {
        yield return ("OMPI_MCA_rmaps_base_oversubscribe", "1"); // allows more ranks than cores, or than a scheduler has allocated
        yield return ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
        if (Environment.IsPrivilegedProcess)
        {
            yield return ("OMPI_ALLOW_RUN_AS_ROOT", "1"); // as in a container, where the user is root
            yield return ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        }
    }

    /// <summary>Searches near the library, whose bin folder is one or two levels up, then the PATH.</summary>
    private static IEnumerable<string> Folders(MpiLibrary library)
    {
        string? folder = Path.GetDirectoryName(library.Path);
        for (int up = 0; up < 2 && !string.IsNullOrEmpty(folder); up++)
        {
            folder = Path.GetDirectoryName(folder);
            yield return Path.Combine(folder ?? "/", "bin");
        }

        string path = Environment.GetEnvironmentVariable("PATH") ?? "";
        foreach (string one in path.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            yield return one;
        }
    }

    /// <summary>The family of a launcher, by its version output; several libraries call theirs mpirun.</summary>
    private static MpiFamily DetectFamily(string launcher)
    {
        try
        {
            var start = new ProcessStartInfo(launcher, "--version") { RedirectStandardOutput = true, RedirectStandardError = true };
            using Process process = Process.Start(start)!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            if (!process.WaitForExit(Timeout))
            {
                process.Kill();
                return MpiFamily.Other;
            }

            return output.Result switch
            {
                var text when OpenMpiVariables.Any(name => text.Contains(name, StringComparison.Ordinal)) => MpiFamily.OpenMpi,
                var text when text.Contains("HYDRA", StringComparison.Ordinal) => MpiFamily.Mpich,
                var text => MpiLibrary.FamilyOf(text),
            };
        }
        catch (Win32Exception)
        {
            return MpiFamily.Other; // not executable
        }
    }
}
