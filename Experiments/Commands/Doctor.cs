using System.Runtime.Intrinsics;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>Judges the facts of a machine: what is there, what is missing, how to get it.</summary>
internal static class Doctor
{
    private const string Unknown = "not known without libtorch";
    private const string GetLibtorch = "build again by ./imta, which fetches it; or name one that is there: LIBTORCH=/path/to/torch/lib ./imta doctor";

    /// <summary>Every check, in the order of its importance.</summary>
    public static IReadOnlyList<DoctorFinding> Examine(HostFacts host, TorchFacts torch, MpiFacts? mpi) =>
    [
        new(".NET", DoctorVerdict.Ok, host.Dotnet),
        Libtorch(host, torch),
        LibTorchSharp(torch),
        Threads(host),
        Allocator(host, torch),
        Processor(host),
        Kernels(),
        Pictures(torch),
        Cuda(host, torch),
        Mpi(mpi),
        Memory(host),
        Disk(host),
        Python(host),
    ];

    private static DoctorFinding Libtorch(HostFacts host, TorchFacts torch)
    {
        const string Check = "libtorch";
        if (torch.Problem is { } problem)
        {
            return new(Check, DoctorVerdict.Missing, $"cannot be used: {problem}", GetLibtorch);
        }

        string source = host.Variables.GetValueOrDefault(TorchLibraries.FolderVariable) is { Length: > 0 } ? $"of {TorchLibraries.FolderVariable}" : "of the NuGet package";
        return new(Check, DoctorVerdict.Ok, $"{torch.Version}, {source}: {Find(torch, "libtorch_cpu.") ?? "in a place that this system does not tell"}");
    }

    private static DoctorFinding LibTorchSharp(TorchFacts torch)
    {
        const string Check = "TorchSharp";
        return torch switch
        {
            { Problem: not null } => new(Check, DoctorVerdict.Note, Unknown),
            { Copy: { } copy } => new(Check, DoctorVerdict.Ok, $"this system's libstdc++ is older than its library asks for, but has all it uses; a copy that says so is loaded: {copy}"),
            _ => new(Check, DoctorVerdict.Ok, Find(torch, "libLibTorchSharp.") ?? "its library is in a place that this system does not tell"),
        };
    }

    private static DoctorFinding Threads(HostFacts host)
    {
        string cores = host.CoresOfMachine is { } all && all != host.Cores ? $"{host.Cores} of {all} cores" : $"{host.Cores} cores";
        return new("threads", DoctorVerdict.Ok, $"{host.Cores} by default, for {cores} that this process may use{Set(host, "OMP_")}");
    }

    private static DoctorFinding Allocator(HostFacts host, TorchFacts torch)
    {
        const string Check = "allocator";
        string[] options = [.. torch.Allocator.Select(setting => $"{setting.Name}={setting.Value}")];
        string found = (options.Length == 0 ? "as the system sets it" : string.Join(", ", options)) + Set(host, "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD");
        string preloaded = host.Variables.GetValueOrDefault("LD_PRELOAD", "");
        return options.Length > 0 && preloaded.Contains("malloc", StringComparison.Ordinal)
            ? new(Check, DoctorVerdict.Note, found, "LD_PRELOAD brings another allocator, which does not know the options M_...")
            : new(Check, DoctorVerdict.Ok, found);
    }

    private static DoctorFinding Processor(HostFacts host)
    {
        const string Check = "processor";
        string model = host.Processor ?? "its model is not known here";
        return host.VectorUnits switch
        {
            null => new(Check, DoctorVerdict.Ok, model),
            [] => new(Check, DoctorVerdict.Warning, $"{model}, without AVX2", "libtorch has its fast code for processors with AVX2; a virtual machine may have to pass it on"),
            var units => new(Check, DoctorVerdict.Ok, $"{model}, {string.Join(", ", units)}"),
        };
    }

    private static DoctorFinding Kernels() => new("fused kernels", DoctorVerdict.Ok, Vector512.IsHardwareAccelerated ? "in vectors of 512 bits"
        : Vector256.IsHardwareAccelerated ? "in vectors of 256 bits"
        : Vector128.IsHardwareAccelerated ? "in vectors of 128 bits" : "without vectors");

    private static DoctorFinding Pictures(TorchFacts torch) => torch.ReadsPictures
        ? new("pictures", DoctorVerdict.Ok, "JPEG and PNG files, as ImageNet's, can be read")
        : new("pictures", DoctorVerdict.Note, "JPEG and PNG files, as ImageNet's, cannot be read: SkiaSharp has no library for this system");

    private static DoctorFinding Cuda(HostFacts host, TorchFacts torch)
    {
        const string Check = "CUDA";
        return torch switch
        {
            { Problem: not null } => new(Check, DoctorVerdict.Note, Unknown),
            { CudaDevices: > 0 } => new(Check, DoctorVerdict.Ok, $"{torch.CudaDevices} device{(torch.CudaDevices == 1 ? "" : "s")}; imta train --device cuda"),
            _ when host.HasNvidiaDriver => new(Check, DoctorVerdict.Note, "an NVIDIA driver, but this libtorch uses no CUDA device", "name a libtorch with CUDA, such as Python's: LIBTORCH=/path/to/torch/lib ./imta doctor"),
            _ => new(Check, DoctorVerdict.Ok, "no device; runs compute on the processor"),
        };
    }

    private static DoctorFinding Mpi(MpiFacts? mpi)
    {
        const string Check = "MPI";
        return mpi switch
        {
            null => new(Check, DoctorVerdict.Note, "no library; only training by several processes needs one", $"{LocalRanks.ToGetMpi}; in another place: {MpiLibrary.Variable}=/path/to/libmpi.so"),
            { Problem: { } problem } => new(Check, DoctorVerdict.Warning, problem),
            { Launcher: null } => new(Check, DoctorVerdict.Note, $"{mpi.Found}, but no mpirun of its own is found beside it or on the PATH", $"{LocalRanks.ToGetMpi}; or start by srun"),
            _ => new(Check, DoctorVerdict.Ok, $"{mpi.Found}, started by {mpi.Launcher}"),
        };
    }

    private static DoctorFinding Memory(HostFacts host)
    {
        const string Check = "memory";
        return host.MemoryAvailable switch
        {
            null => new(Check, DoctorVerdict.Note, "its size is not known here"),
            >= 2 * ByteSize.Gib => new(Check, DoctorVerdict.Ok, $"{ByteSize.Text(host.MemoryAvailable.Value)} for this process"),
            { } bytes => new(Check, DoctorVerdict.Warning, $"{ByteSize.Text(bytes)} for this process", "little for a run of the published size: start with configs/cifar10-small.yaml, or set a smaller train.batch"),
        };
    }

    private static DoctorFinding Disk(HostFacts host)
    {
        const string Check = "disk";
        return host.RunFolderFree switch
        {
            null => new(Check, DoctorVerdict.Note, $"the free space of {host.RunFolder} is not known here"),
            >= ByteSize.Gib => new(Check, DoctorVerdict.Ok, $"{ByteSize.Text(host.RunFolderFree.Value)} free in {host.RunFolder}, where runs go"),
            { } free => new(Check, DoctorVerdict.Warning, $"{ByteSize.Text(free)} free in {host.RunFolder}, where runs go", "free some, or name another folder: imta train --out DIR"),
        };
    }

    private static DoctorFinding Python(HostFacts host) => host.HasPythonTorch
        ? new("python3-torch", DoctorVerdict.Ok, "installed; only bench/pytorch_step.py uses it")
        : new("python3-torch", DoctorVerdict.Note, "not installed; only bench/pytorch_step.py uses it", "as root: apt-get install python3-torch");

    /// <summary>The library of that file name's beginning, among those that are loaded.</summary>
    private static string? Find(TorchFacts torch, string name)
        => torch.Libraries.FirstOrDefault(path => Path.GetFileName(path).StartsWith(name, StringComparison.Ordinal));

    private static string Set(HostFacts host, params string[] prefixes) => string.Concat(host.Variables
        .Where(variable => prefixes.Any(prefix => variable.Key.StartsWith(prefix, StringComparison.Ordinal)))
        .OrderBy(variable => variable.Key, StringComparer.Ordinal)
        .Select(variable => $"; {variable.Key}={variable.Value}"));
}
