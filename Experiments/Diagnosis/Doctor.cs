using System.Runtime.Intrinsics;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Diagnosis;

/// <summary>Evaluates the machine's facts: what is available, what is missing, and how to get it.</summary>
internal static class Doctor
{
    private const string Unknown = "unknown without libtorch";
    private const string GetLibtorch = "in the source tree, remove the folder artifacts and start ./imta, which downloads it again; or use "
        + $"an existing one: {TorchLibraries.FolderVariable}=/path/to/torch/lib";

    /// <summary>All checks, in order of importance.</summary>
    public static IReadOnlyList<DoctorFinding> Examine(HostFacts host, TorchFacts torch, MpiFacts? mpi) =>
    [
        new(".NET", DoctorVerdict.Ok, host.Dotnet),
        Libtorch(host, torch),
        LibTorchSharp(torch),
        Threads(host),
        Allocator(host, torch),
        Processor(host),
        Kernels(torch),
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
        bool isGiven = host.Variables.GetValueOrDefault(TorchLibraries.FolderVariable) is { Length: > 0 };
        if (torch.Problem is { } problem)
        {
            return new(Check, DoctorVerdict.Missing, $"cannot be used: {problem}", isGiven ? null : GetLibtorch); // the problem advises
        }

        string source = isGiven ? $"from {TorchLibraries.FolderVariable}" : "from the NuGet package";
        return new(Check, DoctorVerdict.Ok, $"{torch.Version}, {source}: {Find(torch, "libtorch_cpu.") ?? "in an unknown location"}");
    }

    private static DoctorFinding LibTorchSharp(TorchFacts torch)
    {
        const string Check = "TorchSharp";
        return torch switch
        {
            { Problem: not null } => new(Check, DoctorVerdict.Note, Unknown),
            { Copy: { } copy } => new(Check, DoctorVerdict.Ok, $"this system's libstdc++ is older than its library requires but provides "
                + $"every symbol it uses; a patched copy is loaded: {copy}"),
            _ => new(Check, DoctorVerdict.Ok, Find(torch, "libLibTorchSharp.") ?? "its library is in an unknown location"),
        };
    }

    private static DoctorFinding Threads(HostFacts host)
    {
        string cores = host.TotalCores is { } all && all != host.Cores ? $"{host.Cores} of {all} cores"
            : Terminal.Count(host.Cores, "core");
        return new("threads", DoctorVerdict.Ok, $"{host.Cores} by default, for {cores} available to this process{Set(host, "OMP_")}");
    }

    private static DoctorFinding Allocator(HostFacts host, TorchFacts torch)
    {
        const string Check = "allocator";
        string[] options = [.. torch.Allocator.Select(setting => $"{setting.Name}={setting.Value}")];
        string found = (options.Length == 0 ? "system default" : string.Join(", ", options))
            + Set(host, "MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD");
        string preloaded = host.Variables.GetValueOrDefault("LD_PRELOAD", "");
        return options.Length > 0 && preloaded.Contains("malloc", StringComparison.Ordinal)
            ? new(Check, DoctorVerdict.Note, found, "LD_PRELOAD loads another allocator, which ignores the options M_...")
            : new(Check, DoctorVerdict.Ok, found);
    }

    private static DoctorFinding Processor(HostFacts host)
    {
        const string Check = "processor";
        string model = host.Processor ?? "unknown model";
        return host.VectorUnits switch
        {
            null => new(Check, DoctorVerdict.Ok, model),
            []
                => new(
                    Check, DoctorVerdict.Warning, $"{model}, without AVX2",
                    "libtorch's fast code paths need AVX2; a virtual machine may have to expose it"),
            var units => new(Check, DoctorVerdict.Ok, $"{model}, {string.Join(", ", units)}"),
        };
    }

    private static DoctorFinding Kernels(TorchFacts torch)
    {
        const string Check = "fused kernels";
        string vectors = Vector512.IsHardwareAccelerated ? "512-bit vectors"
            : Vector256.IsHardwareAccelerated ? "256-bit vectors"
            : Vector128.IsHardwareAccelerated ? "128-bit vectors" : "not vectorised";
        return torch.UsesOneDnn
            ? new(Check, DoctorVerdict.Ok, vectors)
            : new(Check, DoctorVerdict.Note, $"{vectors}; other convolutions are slow: libtorch's oneDNN computes some incorrectly "
                + "on this processor and was turned off");
    }

    private static DoctorFinding Pictures(TorchFacts torch) => torch.CanDecodeImages
        ? new("pictures", DoctorVerdict.Ok, $"{ImageDecoder.Formats} files can be decoded")
        : new(
            "pictures", DoctorVerdict.Note,
            $"{ImageDecoder.Formats} files cannot be decoded: SkiaSharp has no native library for this system");

    private static DoctorFinding Cuda(HostFacts host, TorchFacts torch)
    {
        const string Check = "CUDA";
        return torch switch
        {
            { Problem: not null } => new(Check, DoctorVerdict.Note, Unknown),
            { CudaDevices: > 0 }
                => new(
                    Check, DoctorVerdict.Ok, $"{Terminal.Count(torch.CudaDevices, "device")}; "
                        + SelfProcess.CommandLine("train", "--device", "cuda")),
            _ when host.HasNvidiaDriver
                => new(
                    Check, DoctorVerdict.Note, "NVIDIA driver found, but this libtorch sees no CUDA device",
                    "use a libtorch with CUDA support, such as Python's: LIBTORCH=/path/to/torch/lib"),
            _ => new(Check, DoctorVerdict.Ok, "no device; runs use the CPU"),
        };
    }

    private static DoctorFinding Mpi(MpiFacts? mpi)
    {
        const string Check = "MPI";
        return mpi switch
        {
            null
                => new(
                    Check, DoctorVerdict.Note, "no library; only multi-process training needs one",
                    $"{LocalLauncher.MpiInstallHint}; if it is installed elsewhere: {MpiLibrary.Variable}=/path/to/libmpi.so"),
            { Problem: { } problem } => new(Check, DoctorVerdict.Warning, problem),
            { Launcher: null }
                => new(
                    Check, DoctorVerdict.Note, $"{mpi.Found}, but no matching mpirun was found next to it or on the PATH",
                    $"{LocalLauncher.MpiInstallHint}; or launch with srun"),
            _ => new(Check, DoctorVerdict.Ok, $"{mpi.Found}, launched with {mpi.Launcher}"),
        };
    }

    private static DoctorFinding Memory(HostFacts host)
    {
        const string Check = "memory";
        return host.MemoryAvailable switch
        {
            null => new(Check, DoctorVerdict.Note, "unknown size"),
            >= 2 * ByteSize.Gib => new(Check, DoctorVerdict.Ok, $"{ByteSize.Text(host.MemoryAvailable.Value)} available to this process"),
            { } bytes
                => new(
                    Check, DoctorVerdict.Warning, $"{ByteSize.Text(bytes)} available to this process",
                    "too little for a run of the published size: start with configs/cifar10-small.yaml, or set a smaller train.batch"),
        };
    }

    private static DoctorFinding Disk(HostFacts host)
    {
        const string Check = "disk";
        return host.RunFolderFree switch
        {
            null => new(Check, DoctorVerdict.Note, $"the free space in {host.RunFolder} is unknown"),
            >= ByteSize.Gib
                => new(
                    Check, DoctorVerdict.Ok, $"{ByteSize.Text(host.RunFolderFree.Value)} free in {host.RunFolder}, where runs are stored"),
            { } free
                => new(
                    Check, DoctorVerdict.Warning, $"{ByteSize.Text(free)} free in {host.RunFolder}, where runs are stored",
                    "free some space, or choose another folder with --out"),
        };
    }

    private static DoctorFinding Python(HostFacts host) => host.HasPythonTorch
        ? new("python3-torch", DoctorVerdict.Ok, "installed; only bench/pytorch_step.py uses it")
        : new(
            "python3-torch", DoctorVerdict.Note, "not installed; only bench/pytorch_step.py uses it",
            "as root: apt-get install python3-torch");

    /// <summary>The loaded library whose file name starts with the given prefix.</summary>
    private static string? Find(TorchFacts torch, string name)
        => torch.Libraries.FirstOrDefault(path => Path.GetFileName(path).StartsWith(name, StringComparison.Ordinal));

    private static string Set(HostFacts host, params string[] prefixes) => string.Concat(host.Variables
        .Where(variable => prefixes.Any(prefix => variable.Key.StartsWith(prefix, StringComparison.Ordinal)))
        .OrderBy(variable => variable.Key, StringComparer.Ordinal)
        .Select(variable => $"; {variable.Key}={variable.Value}"));
}

/// <summary>The outcome of a check.</summary>
internal enum DoctorVerdict
{
    /// <summary>No problem.</summary>
    Ok,

    /// <summary>Missing, but optional.</summary>
    Note,

    /// <summary>Works, but slowly or not for every run.</summary>
    Warning,

    /// <summary>Nothing works without it.</summary>
    Missing,
}

/// <summary>The result of one check of the machine.</summary>
/// <param name="Check">The name of the check.</param>
/// <param name="Verdict">Its outcome.</param>
/// <param name="Found">What was found.</param>
/// <param name="Advice">What to do, if anything.</param>
internal sealed record DoctorFinding(string Check, DoctorVerdict Verdict, string Found, string? Advice = null);
