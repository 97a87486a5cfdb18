using Imta.MetaWeight.Experiments.Checks;
using Imta.MetaWeight.Experiments.Processes;
using Imta.MetaWeight.Experiments.Processes.Mpi;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Experiments.Diagnosis;

/// <summary>Judges the facts of a machine: what is there, what is missing, how to get it.</summary>
internal static class Doctor
{
    private const string Unknown = "not known without libtorch";
    private const string GetLibtorch = "as root: apt-get install libtorch-dev libopenblas0-pthread; or name another libtorch: LIBTORCH=/path/to/libtorch ./imta doctor; or take NuGet's: TorchSource=package ./imta doctor";

    private static readonly string[] OtherBlas = ["openblas", "mkl", "blis", "atlas", "flexiblas"];

    /// <summary>Every check, in the order of its importance.</summary>
    public static IReadOnlyList<Finding> Examine(HostFacts host, TorchFacts torch) =>
    [
        new(".NET", Verdict.Ok, host.Dotnet),
        Native(torch),
        Libtorch(host, torch),
        Blas(torch),
        Threads(host, torch),
        Allocator(host, torch),
        Processor(host),
        Kernels(host, torch),
        Pictures(torch),
        Cuda(host, torch),
        Mpi(host.Mpi),
        Memory(host),
        Disk(host),
        Python(host),
    ];

    private static Finding Native(TorchFacts torch)
    {
        const string Check = "native library";
        return torch switch
        {
            _ when Find(torch, TorchFacts.NativeLibrary) is { } path => new(Check, Verdict.Ok, path),
            { IsPackage: true } => new(Check, Verdict.Ok, "not needed: the TorchSharp package has its own"),
            { NativeExists: false } => new(Check, Verdict.Missing, $"{torch.NativePath} is not there", "start by ./imta, which builds it; by hand: dotnet build, with g++, cmake, make and libtorch-dev installed"),
            { Problem: { } problem } => new(Check, Verdict.Missing, $"{torch.NativePath} cannot be loaded: {problem}", "start by ./imta, which builds it again where libtorch has changed"),
            _ => new(Check, Verdict.Ok, torch.NativePath),
        };
    }

    private static Finding Libtorch(HostFacts host, TorchFacts torch)
    {
        const string Check = "libtorch";
        if (torch.Problem is { } problem)
        {
            return new(Check, Verdict.Missing, $"cannot be used: {problem}", GetLibtorch);
        }

        string path = Find(torch, "libtorch_cpu.") ?? "in a place that this system does not tell";
        string found = $"{torch.Version}, {Source(host, torch, path)}: {path}";
        if (Machine.LibtorchProblem(host.Variables.GetValueOrDefault("LIBTORCH")) is { } wrong)
        {
            return new(Check, Verdict.Missing, found, wrong);
        }

        return torch.IsPackage || host.Variables.GetValueOrDefault("LIBTORCH") is not { Length: > 0 } folder || IsBelow(path, folder)
            ? new(Check, Verdict.Ok, found)
            : new(Check, Verdict.Warning, found, $"LIBTORCH is {folder}, but this build uses another one; start by ./imta, which builds again");
    }

    private static string Source(HostFacts host, TorchFacts torch, string path) => torch switch
    {
        { IsPackage: true } => "of the TorchSharp package",
        _ when host.Variables.GetValueOrDefault("LIBTORCH") is { Length: > 0 } folder && IsBelow(path, folder) => "of LIBTORCH",
        _ when IsBelow(path, "/usr/lib") => "of the system (Debian: libtorch-dev)",
        _ => "of the folder it was built with",
    };

    private static Finding Blas(TorchFacts torch)
    {
        const string Check = "BLAS";
        if (torch.Problem is not null)
        {
            return new(Check, Verdict.Note, Unknown);
        }

        string? other = torch.Libraries.FirstOrDefault(path => OtherBlas.Any(name => Place(path).Contains(name, StringComparison.OrdinalIgnoreCase)));
        string? threads = torch.Settings.Where(setting => setting.Name == "OPENBLAS_NUM_THREADS").Select(setting => setting.Value).FirstOrDefault();
        if (other is null)
        {
            return Find(torch, "libblas.") is not { } reference
                ? new(Check, Verdict.Ok, "none of its own: part of libtorch")
                : new(Check, Verdict.Warning, $"the reference BLAS, many times slower: {reference}", "as root: apt-get install libopenblas0-pthread");
        }

        if (!Place(other).Contains("openblas", StringComparison.OrdinalIgnoreCase) || threads is null)
        {
            return new(Check, Verdict.Ok, other);
        }

        string found = $"{other}, OPENBLAS_NUM_THREADS={threads}";
        return threads == "1"
            ? new(Check, Verdict.Ok, found)
            : new(Check, Verdict.Warning, found, "unset OPENBLAS_NUM_THREADS (1 then): its idle threads take time from libtorch's own");
    }

    private static Finding Threads(HostFacts host, TorchFacts torch)
    {
        string cores = host.CoresOfMachine is { } all && all != host.Cores ? $"{host.Cores} of {all} cores" : $"{host.Cores} cores";
        return new("threads", Verdict.Ok, $"{(torch.Threads > 0 ? torch.Threads : host.Cores)} by default, for {cores} that this process may use{Set(host, "OMP_")}");
    }

    private static Finding Allocator(HostFacts host, TorchFacts torch)
    {
        const string Check = "allocator";
        string[] options = [.. torch.Settings.Where(setting => setting.Name.StartsWith("M_", StringComparison.Ordinal)).Select(setting => $"{setting.Name}={setting.Value}")];
        string found = (options.Length == 0 ? "as the system sets it" : string.Join(", ", options)) + Set(host, "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD");
        string preloaded = host.Variables.GetValueOrDefault("LD_PRELOAD", "");
        return options.Length > 0 && preloaded.Contains("malloc", StringComparison.Ordinal)
            ? new(Check, Verdict.Note, found, "LD_PRELOAD brings another allocator, which does not know the options M_...")
            : new(Check, Verdict.Ok, found);
    }

    private static Finding Processor(HostFacts host)
    {
        const string Check = "processor";
        string model = host.Processor ?? "its model is not known here";
        return host.VectorUnits switch
        {
            null => new(Check, Verdict.Ok, model),
            [] => new(Check, Verdict.Warning, $"{model}, without AVX2", "libtorch has its fast code for processors with AVX2; a virtual machine may have to pass it on"),
            var units => new(Check, Verdict.Ok, $"{model}, {string.Join(", ", units)}"),
        };
    }

    private static Finding Kernels(HostFacts host, TorchFacts torch)
    {
        const string Check = "fused kernels";
        return torch.Kernels switch
        {
            null when torch.Problem is not null => new(Check, Verdict.Note, Unknown),
            null => new(Check, Verdict.Note, "none without the native library: meta.gradient forward runs as unrolled, slower", "build against a libtorch with headers: LIBTORCH=/path/to/libtorch ./imta doctor"),
            VectorPath.Avx512 => new(Check, Verdict.Ok, "in AVX-512"),
            VectorPath.Avx2 => new(Check, Verdict.Ok, "in AVX2"),
            _ => new(Check, host.VectorUnits is null ? Verdict.Ok : Verdict.Note, "in portable code"),
        };
    }

    private static Finding Pictures(TorchFacts torch)
    {
        const string Check = "pictures";
        return torch switch
        {
            { ReadsPictures: true } => new(Check, Verdict.Ok, "JPEG and PNG files, as ImageNet's, can be read"),
            { Problem: not null } => new(Check, Verdict.Note, Unknown),
            _ => new(Check, Verdict.Note, "JPEG and PNG files, as ImageNet's, cannot be read: SkiaSharp has no library for this machine", "data sets of pictures take another machine; all else works here"),
        };
    }

    private static Finding Cuda(HostFacts host, TorchFacts torch)
    {
        const string Check = "CUDA";
        return torch switch
        {
            { Problem: not null } => new(Check, Verdict.Note, Unknown),
            { CudaDevices: > 0 } => new(Check, Verdict.Ok, $"{torch.CudaDevices} device{(torch.CudaDevices == 1 ? "" : "s")}; imta train --device cuda"),
            _ when host.HasNvidiaDriver => new(Check, Verdict.Note, "an NVIDIA driver, but this libtorch uses no CUDA device", "build against a libtorch with CUDA: LIBTORCH=/path/to/libtorch ./imta doctor"),
            _ => new(Check, Verdict.Ok, "no device; runs compute on the processor"),
        };
    }

    private static Finding Mpi(MpiFacts? mpi)
    {
        const string Check = "MPI";
        return mpi switch
        {
            null => new(Check, Verdict.Note, "no library; only training by several processes needs one", $"{LocalRanks.ToGetMpi}; in another place: {MpiLibrary.Variable}=/path/to/libmpi.so"),
            { Problem: { } problem } => new(Check, Verdict.Warning, problem),
            { Launcher: null } => new(Check, Verdict.Note, $"{mpi.Found}, but no mpirun of its own is found beside it or on the PATH", $"{LocalRanks.ToGetMpi}; or start by srun"),
            _ => new(Check, Verdict.Ok, $"{mpi.Found}, started by {mpi.Launcher}"),
        };
    }

    private static Finding Memory(HostFacts host)
    {
        const string Check = "memory";
        return host.MemoryAvailable switch
        {
            null => new(Check, Verdict.Note, "its size is not known here"),
            >= 2 * ByteSize.Gib => new(Check, Verdict.Ok, $"{ByteSize.Text(host.MemoryAvailable.Value)} for this process"),
            { } bytes => new(Check, Verdict.Warning, $"{ByteSize.Text(bytes)} for this process", "little for a run of the published size: start with configs/cifar10-small.yaml, or set a smaller train.batch"),
        };
    }

    private static Finding Disk(HostFacts host)
    {
        const string Check = "disk";
        return host.RunFolderFree switch
        {
            null => new(Check, Verdict.Note, $"the free space of {host.RunFolder} is not known here"),
            >= ByteSize.Gib => new(Check, Verdict.Ok, $"{ByteSize.Text(host.RunFolderFree.Value)} free in {host.RunFolder}, where runs go"),
            { } free => new(Check, Verdict.Warning, $"{ByteSize.Text(free)} free in {host.RunFolder}, where runs go", "free some, or name another folder: imta train --out DIR"),
        };
    }

    private static Finding Python(HostFacts host) => host.HasPythonTorch
        ? new("python3-torch", Verdict.Ok, "installed; only bench/pytorch_step.py uses it")
        : new("python3-torch", Verdict.Note, "not installed; only bench/pytorch_step.py uses it", "as root: apt-get install python3-torch");

    /// <summary>The library of that file name's beginning, among those that are loaded.</summary>
    private static string? Find(TorchFacts torch, string name)
        => torch.Libraries.FirstOrDefault(path => Path.GetFileName(path).StartsWith(name, StringComparison.Ordinal));

    // Debian's libblas.so.3 is whichever one the folder names: openblas-pthread/libblas.so.3.
    private static string Place(string path) => string.Join('/', path.Split('/').TakeLast(2));

    private static bool IsBelow(string path, string folder) => path.StartsWith(folder.TrimEnd('/') + "/", StringComparison.Ordinal);

    private static string Set(HostFacts host, params string[] prefixes) => string.Concat(host.Variables
        .Where(variable => prefixes.Any(prefix => variable.Key.StartsWith(prefix, StringComparison.Ordinal)))
        .OrderBy(variable => variable.Key, StringComparer.Ordinal)
        .Select(variable => $"; {variable.Key}={variable.Value}"));
}
