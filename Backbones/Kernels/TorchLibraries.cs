using System.Reflection;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// The native libraries that TorchSharp uses: on Linux the package's libtorch, in the program's folder <c>libtorch</c>, or the one
/// whose folder the environment variable <c>LIBTORCH</c> names, such as <c>torch/lib</c> of a Python environment, CUDA builds included.
/// </summary>
/// <remarks>
/// They are loaded by path before TorchSharp asks for them by name, so it gets these: neither the system's libtorch nor a second copy,
/// which would abort the process. On other systems, TorchSharp loads its package's libtorch.
/// </remarks>
public static unsafe partial class TorchLibraries
{
    /// <summary>The variable that names the library folder of a libtorch to use instead of the package's.</summary>
    public const string FolderVariable = "LIBTORCH";

    /// <summary>Set to <c>any</c>, allows a libtorch version other than the one TorchSharp is built for.</summary>
    public const string VersionVariable = "IMTA_LIBTORCH_VERSION";

    private const string Cpu = "libtorch_cpu.so";
    private const string TorchSharpNative = "libLibTorchSharp.so"; // TorchSharp's library

    // Keep freed memory instead of returning it: a step allocates the same blocks over and over, and page faults add up.
    private static readonly (string Name, int Option, int Value)[] AllocatorOptions =
        [("M_MMAP_MAX", -4, 0), ("M_TRIM_THRESHOLD", -1, int.MaxValue)];

    // In dependency order; a CPU build lacks two of them.
    private static readonly string[] Parts = ["libc10.so", "libc10_cuda.so", Cpu, "libtorch_cuda.so", "libtorch.so"];

    private static readonly Assembly TorchSharp = typeof(torch).Assembly;
    private static readonly Lock PrepareLock = new();
    private static bool _isPrepared;

    /// <summary>The C allocator options that were set for libtorch; empty except on Linux.</summary>
    public static IReadOnlyList<(string Name, string Value)> AllocatorSettings { get; private set; } = [];

    /// <summary>
    /// The copy of TorchSharp's own library that is loaded because this system's libstdc++ is older (<see cref="PatchedTorchSharp"/>);
    /// null: the library itself is loaded.
    /// </summary>
    public static string? Copy { get; private set; }

    /// <summary>Whether libtorch may use oneDNN; on Linux it is disabled where its convolutions are wrong.</summary>
    public static bool UsesOneDnn { get; private set; } = true;

    /// <summary>
    /// Loads the libraries; to be called before anything in <c>torch</c> is used. A program built with the NuGet package does this by
    /// itself at startup; one that references the projects must call it. Calling it again does nothing. On Linux it also sets options of
    /// the C allocator (<see cref="AllocatorSettings"/>), for the whole process.
    /// </summary>
    /// <exception cref="DllNotFoundException">
    /// A library cannot be loaded; for <c>LIBTORCH</c>, the message says why and what to do.
    /// </exception>
    /// <exception cref="NotSupportedException">
    /// The libtorch has a different version, or computes wrong convolutions with a oneDNN that cannot be disabled, or this program cannot
    /// use <c>LIBTORCH</c>.
    /// </exception>
    /// <exception cref="IOException">The patched copy of TorchSharp's library for an older libstdc++ cannot be written.</exception>
    public static void Prepare()
    {
        lock (PrepareLock)
        {
            if (!_isPrepared)
            {
                Load(Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } folder ? folder : null);
                _isPrepared = true;
            }
        }
    }

    /// <summary>
    /// The version of the libtorch that is loaded, such as <c>2.10.0</c>; TorchSharp's <c>__version__</c> is the one it was built for.
    /// </summary>
    public static string Version => StableAbi.Text(StableAbi.LoadedVersion());

    private static void Load(string? given)
    {
        if (!OperatingSystem.IsLinux())
        {
            if (given is not null)
            {
                throw new NotSupportedException(
                    $"{FolderVariable} is {given}, but a libtorch other than the package's can only be used on Linux: unset it.");
            }

            return;
        }

        if (given is not null && InProgram(Cpu) is { } before)
        {
            throw new NotSupportedException(
                $"{FolderVariable} is {given}, but TorchSharp takes {before} first: unset it, or build this program "
                + "without a libtorch package.");
        }

        if (given is not null && !File.Exists(Path.Combine(given, Cpu)))
        {
            throw new DllNotFoundException(
                $"{FolderVariable} is {given}, which has no {Cpu}: "
                + "set it to a libtorch's lib folder (torch/lib of a Python environment), or unset it to use the package's.");
        }

        SetAllocator();
        if ((given ?? Path.GetDirectoryName(InProgram(Path.Combine("libtorch", Cpu)) ?? InProgram(Cpu))) is { } folder)
        {
            nint library = LoadLibtorch(folder, isGiven: given is not null);
            LibtorchBackends.Disable(library, LibtorchBackends.Nnpack);
            LoadTorchSharpNative();
            UsesOneDnn = LibtorchBackends.OneDnnIsCorrect();
            if (!UsesOneDnn && !LibtorchBackends.Disable(library, LibtorchBackends.OneDnn))
            {
                throw new NotSupportedException(
                    $"{Path.Combine(folder, Cpu)} computes wrong convolutions on this processor, and its oneDNN cannot be disabled: "
                        + "use another libtorch.");
            }
        }
    }

    /// <summary>Loads libtorch; returns the handle of <c>libtorch_cpu</c>.</summary>
    private static nint LoadLibtorch(string folder, bool isGiven)
    {
        nint cpu = 0;
        foreach (string path in Parts.Select(part => Path.Combine(folder, part)).Where(File.Exists))
        {
            try
            {
                nint library = NativeLibrary.Load(path);
                if (Path.GetFileName(path) == Cpu)
                {
                    bool tells = NativeLibrary.TryGetExport(library, nameof(StableAbi.aoti_torch_abi_version), out nint version);
                    StableAbi.Check(tells ? ((delegate* unmanaged[Cdecl]<ulong>)version)() : 0, path);
                    cpu = library;
                }
            }
            catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
            {
                string reason = LoaderMessage(e);
                throw new DllNotFoundException(
                    isGiven
                        ? $"{FolderVariable} is {folder}, whose {Path.GetFileName(path)} cannot be loaded: {reason}; "
                            + "use another libtorch, or unset it to use the package's."
                        : $"{path} cannot be loaded: {reason}",
                    e);
            }
        }

        return cpu;
    }

    /// <summary>What the system's loader says, without the advice that .NET puts before it.</summary>
    private static string LoaderMessage(Exception e) => e.Message.Split('\n')
        .Select(line => line.Split("LD_DEBUG environment variable:")[^1].Trim())
        .FirstOrDefault(line => line.Length > 0, e.Message);

    private static void LoadTorchSharpNative()
    {
        if (InProgram(TorchSharpNative) is not { } path)
        {
            return;
        }

        try
        {
            NativeLibrary.Load(path);
        }
        catch (DllNotFoundException e) when (e.Message.Contains(PatchedTorchSharp.UnneededVersion, StringComparison.Ordinal))
        {
            string copy = PatchedTorchSharp.Create(path, $"libLibTorchSharp-{TorchSharp.GetName().Version!.ToString(3)}.so");
            NativeLibrary.Load(copy);
            Copy = copy;
        }
    }

    /// <summary>The path of a file in .NET's native library search folders; null if not found.</summary>
    private static string? InProgram(string file)
    {
        string folders = AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "";
        return folders.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries).Append(AppContext.BaseDirectory)
            .Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists);
    }

    private static void SetAllocator()
    {
        try
        {
            AllocatorSettings = [.. AllocatorOptions.Where(one => SetMallocOption(one.Option, one.Value) != 0)
                .Select(one => (one.Name, $"{one.Value}"))];
        }
        catch (EntryPointNotFoundException)
        {
            // A C library other than glibc may have no mallopt.
        }
    }

    /// <summary>Returns free memory, which glibc keeps by these settings, to the system.</summary>
    public static void ReturnFreeMemory()
    {
        try
        {
            _ = TrimHeap(0);
        }
        catch (EntryPointNotFoundException)
        {
            // As above.
        }
    }

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int SetMallocOption(int option, int value);

    [LibraryImport("libc", EntryPoint = "malloc_trim")]
    private static partial int TrimHeap(nuint kept);
}
