using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Experiments;

/// <summary>The machine that a command runs on: libtorch, threads, device.</summary>
internal static class Machine
{
    /// <summary>Sets the number of threads and how CUDA computes, and returns the device.</summary>
    /// <param name="settings">Device, threads, precision.</param>
    /// <param name="localRank">Which of the processes of a run on this machine this one is: of CUDA's devices it takes that one.</param>
    /// <param name="localSize">How many there are; they share the cores where threads are not given.</param>
    /// <exception cref="UsageException">libtorch cannot be loaded, or it has no such device.</exception>
    public static Device Prepare(Settings settings, int localRank = 0, int localSize = 1)
    {
        CheckLibtorch();
        try
        {
            set_num_threads(settings.Threads == 0 ? Math.Max(1, Environment.ProcessorCount / localSize) : settings.Threads);
        }
        catch (Exception e) when (e is DllNotFoundException or TypeInitializationException or BadImageFormatException or EntryPointNotFoundException)
        {
            throw new UsageException($"libtorch cannot be loaded ({e.GetBaseException().Message.ReplaceLineEndings(" ")}); start by ./imta, which sets it up, or install libtorch-dev and build again", e);
        }

        Device wanted = device(settings.Device == "cuda" ? FormattableString.Invariant($"cuda:{localRank}") : settings.Device);
        if (wanted.type == DeviceType.CUDA && wanted.index >= cuda.device_count())
        {
            throw new UsageException($"there is no device {wanted} (libtorch {__version__} sees {cuda.device_count()} CUDA devices{Visible()}); use --device cpu, or build against a CUDA libtorch named by LIBTORCH");
        }

        if (wanted.type == DeviceType.CUDA)
        {
            SetMath(settings.Model.Precision);
        }

        return wanted;
    }

    /// <summary>What is wrong with the folder that <c>LIBTORCH</c> names, and what to do; null: nothing, or there is no such variable.</summary>
    public static string? LibtorchProblem(string? folder) => string.IsNullOrEmpty(folder) || Directory.Exists(Path.Combine(folder, "lib"))
        ? null
        : $"LIBTORCH is {folder}, where no libtorch is (a folder with include/ and lib/); correct it, or unset it to use the system's";

    /// <summary>Without the native library CUDA computes as libtorch has it.</summary>
    private static void SetMath(Precision precision)
    {
        if (Runtime.IsAvailable)
        {
            Runtime.SetCudaMath(tf32: precision == Precision.Tf32);
        }
        else if (precision == Precision.Tf32)
        {
            throw new UsageException("model.precision tf32 takes the native library, which this build (TorchSource=package) does not have; take full, or build against a libtorch named by LIBTORCH");
        }
    }

    private static string Visible() => Environment.GetEnvironmentVariable(CudaDevices.Variable) is { } devices ? $", {CudaDevices.Variable} is '{devices}'" : "";

    private static void CheckLibtorch()
    {
        if (LibtorchProblem(Environment.GetEnvironmentVariable("LIBTORCH")) is { } problem)
        {
            throw new UsageException(problem);
        }
    }
}
