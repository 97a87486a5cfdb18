using System.Runtime.InteropServices;
using System.Text;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>An MPI library on this machine. Inspecting it does not initialise MPI.</summary>
internal sealed unsafe partial class MpiLibrary
{
    /// <summary>The environment variable that names the library's file.</summary>
    public const string Variable = "IMTA_MPI";

    private const int VersionLength = 8192; // MPI_MAX_LIBRARY_VERSION_STRING, the largest of all libraries

    private static readonly string[] MpichDerivatives = ["MPICH", "Intel(R) MPI", "MVAPICH"];

    private readonly nint _library;

    private MpiLibrary(nint library, string path, string version, MpiHandles handles)
        => (_library, Path, Version, Handles, Family) = (library, path, NormaliseVersion(version), handles, FamilyOf(version));

    /// <summary>The loaded file, or the name under which the system found it.</summary>
    public string Path { get; }

    /// <summary>Such as <c>Open MPI 4.1.4</c>.</summary>
    public string Version { get; }

    public MpiFamily Family { get; }

    public MpiHandles Handles { get; }

    /// <summary>The library named by <see cref="Variable"/>, or else the first one found.</summary>
    /// <param name="families">The acceptable families, in order of preference.</param>
    /// <returns>Null if there is none.</returns>
    /// <exception cref="UsageException">The variable does not name a usable library.</exception>
    public static MpiLibrary? Find(params MpiFamily[] families)
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } named)
        {
            return Load(named, out string problem) ?? throw new UsageException(
                $"{Variable} is '{named}', which {problem}; it must be the path of an MPI library, such as "
                    + "/usr/lib/x86_64-linux-gnu/libmpi.so.40");
        }

        return families.SelectMany(Names).Distinct()
            .Select(name => Load(name, out _))
            .FirstOrDefault(library => library is not null && families.Contains(library.Family));
    }

    /// <summary>A function of the library.</summary>
    /// <exception cref="UsageException">The library does not export it.</exception>
    public nint GetFunction(string name) => NativeLibrary.TryGetExport(_library, name, out nint address)
        ? address
        : throw new UsageException($"{Path} has no {name}; an MPI 3 library or later is required");

    /// <summary>The family, from the library's version string.</summary>
    public static MpiFamily FamilyOf(string version) => version switch
    {
        _ when version.Contains("Open MPI", StringComparison.OrdinalIgnoreCase) => MpiFamily.OpenMpi,
        _ when MpichDerivatives.Any(name => version.Contains(name, StringComparison.OrdinalIgnoreCase)) => MpiFamily.Mpich,
        _ => MpiFamily.Other,
    };

    /// <summary>
    /// File names to try, by version suffix: Open MPI since 3.0; MPICH since 3.1, which Debian names differently; the linker name; MPI 5.
    /// </summary>
    private static IEnumerable<string> Names(MpiFamily family)
    {
        string[] own = family == MpiFamily.OpenMpi ? ["mpi:40"] : ["mpich:12", "mpi:12"];
        foreach (string name in (string[])[.. own, "mpi", "mpi_abi:0"])
        {
            string[] nameAndVersion = name.Split(':');
            string number = nameAndVersion.Length > 1 ? $".{nameAndVersion[1]}" : "";
            yield return OperatingSystem.IsMacOS() ? $"lib{nameAndVersion[0]}{number}.dylib" : $"lib{nameAndVersion[0]}.so{number}";
        }
    }

    private static MpiLibrary? Load(string name, out string problem)
    {
        if (OperatingSystem.IsLinux())
        {
            // UCX, the transport of some libraries, would replace the SIGSEGV handler that .NET needs: a null reference would crash the
            // process.
            _ = SetEnvironment("UCX_HANDLE_ERRORS", "none", 0);
        }

        if (!NativeLibrary.TryLoad(name, out nint library))
        {
            problem = File.Exists(name) ? "cannot be loaded" : "does not exist";
            return null;
        }

        string path = FileOf(name);
        if (!NativeLibrary.TryGetExport(library, "MPI_Get_library_version", out nint getVersion)
            || VersionOf((delegate* unmanaged<byte*, int*, int>)getVersion) is not { } version
            || MpiHandles.ForLibrary(library, System.IO.Path.GetFileName(path), version) is not { } handles)
        {
            NativeLibrary.Free(library);
            problem = "is not an MPI library with a known ABI (Open MPI, MPICH or MPI 5)";
            return null;
        }

        problem = "";
        return new MpiLibrary(library, path, version, handles);
    }

    private static string VersionOf(delegate* unmanaged<byte*, int*, int> getVersion)
    {
        byte* text = stackalloc byte[VersionLength];
        int length = 0;
        return getVersion(text, &length) == 0 ? Encoding.UTF8.GetString(text, Math.Min(length, VersionLength)).TrimEnd('\0') : "";
    }

    /// <summary>Normalises "Open MPI v4.1.4, package: …" and "MPICH Version:\t4.0.2\n…".</summary>
    private static string NormaliseVersion(string version)
    {
        string line = version.Split('\n', ',')[0]
            .Replace("Version:", "", StringComparison.OrdinalIgnoreCase)
            .Replace(" v", " ", StringComparison.Ordinal);
        return string.Join(' ', line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries));
    }

    /// <summary>Where the loader found it, if the system reports it.</summary>
    private static string FileOf(string name)
    {
        if (System.IO.Path.IsPathRooted(name) || !File.Exists("/proc/self/maps"))
        {
            return name;
        }

        string file = File.ReadLines("/proc/self/maps")
            .Select(line => line[(line.IndexOf('/', StringComparison.Ordinal) is >= 0 and int start ? start : line.Length)..])
            .FirstOrDefault(path => System.IO.Path.GetFileName(path).StartsWith(name, StringComparison.Ordinal), name);
        string alias = System.IO.Path.Combine(System.IO.Path.GetDirectoryName(file) ?? "", name);
        return File.Exists(alias) ? alias : file;
    }

    /// <summary>Sets a variable in the C environment, which native libraries read; .NET's is a copy.</summary>
    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetEnvironment(string name, string value, int overwrite);
}
