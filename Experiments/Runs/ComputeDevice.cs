using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>The device that settings name, and the threads.</summary>
internal static class ComputeDevice
{
    /// <summary>Sets the number of threads and how CUDA computes, and returns the device.</summary>
    /// <param name="settings">Device, threads, precision.</param>
    /// <param name="localRank">Which of the processes of a run on this machine this one is: of CUDA's devices it takes that one.</param>
    /// <param name="localSize">How many there are; they share the cores where threads are not given.</param>
    /// <exception cref="UsageException">libtorch cannot be loaded, or it has no such device.</exception>
    public static Device Prepare(Settings settings, int localRank = 0, int localSize = 1)
    {
        Libtorch.Load();
        set_num_threads(settings.Threads == 0 ? Math.Max(1, Environment.ProcessorCount / localSize) : settings.Threads);
        if (settings.Device == "cpu")
        {
            return CPU;
        }

        int devices = cuda.is_available() ? cuda.device_count() : 0; // device("cuda") itself throws where there is none
        if (localRank >= devices)
        {
            throw new UsageException(
                $"there is no device cuda:{localRank} (libtorch {TorchLibraries.Version} sees {devices} CUDA devices{Visible()}); use --device cpu, or name a libtorch with CUDA: LIBTORCH=/path/to/torch/lib");
        }

        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = settings.Model.Precision == Precision.Tf32;
        return device(FormattableString.Invariant($"cuda:{localRank}"));
    }

    private static string Visible() => Environment.GetEnvironmentVariable(CudaDevices.Variable) is { } devices ? $", {CudaDevices.Variable} is '{devices}'" : "";
}
