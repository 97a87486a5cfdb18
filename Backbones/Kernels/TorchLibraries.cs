using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// The native libraries that TorchSharp runs on: the package's libtorch, in the folder <c>libtorch</c> of the program, or on Linux the one whose
/// folder the environment variable <c>LIBTORCH</c> names, such as <c>torch/lib</c> of a Python environment, CUDA builds included.
/// </summary>
/// <remarks>
/// TorchSharp asks .NET for its libraries by name. .NET asks here for those that it does not find itself, which libtorch's are, for they lie in a folder
/// of their own: a process in which two libtorch libraries meet aborts.
/// </remarks>
public static partial class TorchLibraries
{
    /// <summary>Names the folder with the libraries of a libtorch to use instead of the package's.</summary>
    public const string FolderVariable = "LIBTORCH";

    /// <summary>Set to <c>any</c>, admits a libtorch of another version than TorchSharp is made for.</summary>
    public const string VersionVariable = "IMTA_LIBTORCH_VERSION";

    private const string Cpu = "libtorch_cpu.so";

    // Keep freed memory instead of giving it back: a step allocates the same blocks over and over, and page faults add up.
    private static readonly (string Name, int Option, int Value)[] AllocatorOptions = [("M_MMAP_MAX", -4, 0), ("M_TRIM_THRESHOLD", -1, int.MaxValue)];

    // In the order in which they depend on each other; a CPU build lacks two.
    private static readonly string[] Parts = ["libc10.so", "libc10_cuda.so", Cpu, "libtorch_cuda.so", "libtorch.so"];

    private static readonly Assembly TorchSharp = typeof(torch).Assembly;
    private static readonly Lock s_lock = new();
    private static bool s_prepared;

    /// <summary>The options of the C allocator that were set for libtorch's sake; none on other systems than Linux.</summary>
    public static IReadOnlyList<(string Name, string Value)> AllocatorSettings { get; private set; } = [];

    /// <summary>The copy of TorchSharp's own library that this machine's libstdc++ took; null: none, or TorchSharp has not been used yet.</summary>
    public static string? Copy { get; private set; }

    /// <summary>
    /// To be called before anything of <c>torch</c>. A program that is built with the NuGet package calls it by itself as it starts; one that
    /// references the projects has to. It loads nothing yet, and does nothing when called again.
    /// </summary>
    /// <exception cref="NotSupportedException"><c>LIBTORCH</c> is set, but this program has a libtorch where .NET itself finds it, or is not on Linux.</exception>
    public static void Prepare()
    {
        lock (s_lock)
        {
            if (s_prepared)
            {
                return;
            }

            if (GivenFolder is { } folder && (!OperatingSystem.IsLinux() || InProgram(Cpu) is not null))
            {
                string why = OperatingSystem.IsLinux() ? $"this program loads {InProgram(Cpu)} before: build it without a libtorch package" : "it takes Linux";
                throw new NotSupportedException($"{FolderVariable} is {folder}, which cannot be used: {why}, or unset the variable");
            }

            if (OperatingSystem.IsLinux())
            {
                SetAllocator();
                AssemblyLoadContext.GetLoadContext(TorchSharp)!.ResolvingUnmanagedDll += (_, name) => Resolve(name);
            }

            s_prepared = true;
        }
    }

    private static string? GivenFolder => Environment.GetEnvironmentVariable(FolderVariable) is { Length: > 0 } folder ? folder : null;

    private static string Version => TorchSharp.GetName().Version!.ToString(3);

    private static nint Resolve(string name) => name switch
    {
        "torch_cpu" => LoadLibtorch(),
        "torch_cuda" when GivenFolder is { } folder && File.Exists(Path.Combine(folder, "libtorch_cuda.so")) => NativeLibrary.Load(Path.Combine(folder, "libtorch_cuda.so")),
        "LibTorchSharp" => LoadCopy(),
        _ => 0,
    };

    private static nint LoadLibtorch()
    {
        string? folder = GivenFolder;
        if (folder is not null && !File.Exists(Path.Combine(folder, Cpu)))
        {
            throw new DllNotFoundException($"{FolderVariable} is {folder}, which has no {Cpu}: name a libtorch's lib folder (torch/lib of a Python environment), or unset it to use the package's");
        }

        nint cpu = 0;
        foreach (string path in Parts.Select(part => folder is null ? InProgram(Path.Combine("libtorch", part)) : Path.Combine(folder, part)).Where(File.Exists).OfType<string>())
        {
            nint library = Load(path, folder);
            if (Path.GetFileName(path) == Cpu)
            {
                CheckVersion(cpu = library, folder);
            }
        }

        return cpu;
    }

    private static nint Load(string path, string? folder)
    {
        try
        {
            return NativeLibrary.Load(path);
        }
        catch (Exception e) when (folder is not null && e is DllNotFoundException or BadImageFormatException)
        {
            string reason = e.Message.ReplaceLineEndings(" ").Trim();
            throw new DllNotFoundException($"{FolderVariable} is {folder}, whose {Path.GetFileName(path)} cannot be loaded ({reason}): name another libtorch, or unset it to use the package's", e);
        }
    }

    // The highest two bytes of the number are the version's; libtorch before 2.10 does not have the function.
    private static unsafe void CheckVersion(nint library, string? folder)
    {
        const int Expected = 0x020A;
        int version = NativeLibrary.TryGetExport(library, "aoti_torch_abi_version", out nint get) ? (int)(((delegate* unmanaged[Cdecl]<ulong>)get)() >> 48) : 0;
        if (version != Expected && folder is not null && Environment.GetEnvironmentVariable(VersionVariable) != "any")
        {
            string found = version == 0 ? "older than 2.10" : $"{version >> 8}.{version & 0xFF}";
            throw new NotSupportedException(
                $"{FolderVariable} is {folder}, a libtorch {found}, but TorchSharp {Version} is made for 2.10: name such a one, or set {VersionVariable}=any to try it all the same");
        }
    }

    private static nint LoadCopy()
    {
        if (InProgram("libLibTorchSharp.so") is not { } library)
        {
            return 0;
        }

        try
        {
            return NativeLibrary.Load(library);
        }
        catch (DllNotFoundException e) when (e.Message.Contains(WeakCopy.NeedlessVersion, StringComparison.Ordinal))
        {
            string copy = WeakCopy.Of(library, $"libLibTorchSharp-{Version}.so");
            nint handle = NativeLibrary.Load(copy);
            Copy = copy;
            return handle;
        }
    }

    /// <summary>The path of a file in the folders that .NET searches for the program's native libraries; null: it is in none.</summary>
    private static string? InProgram(string file)
    {
        string folders = AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "";
        return folders.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Prepend(AppContext.BaseDirectory).Prepend(Path.GetDirectoryName(TorchSharp.Location) ?? "")
            .Select(folder => Path.Combine(folder, file)).FirstOrDefault(File.Exists);
    }

    private static void SetAllocator()
    {
        try
        {
            AllocatorSettings = [.. AllocatorOptions.Where(one => SetMallocOption(one.Option, one.Value) != 0).Select(one => (one.Name, $"{one.Value}"))];
        }
        catch (EntryPointNotFoundException)
        {
            // A C library other than glibc has its own allocator.
        }
    }

    [LibraryImport("libc", EntryPoint = "mallopt")]
    private static partial int SetMallocOption(int option, int value);
}
