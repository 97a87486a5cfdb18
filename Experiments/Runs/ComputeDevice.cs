using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>Selects the configured device and the number of threads.</summary>
internal static class ComputeDevice
{
    /// <summary>Sets the number of threads and CUDA's numeric modes, and returns the device.</summary>
    /// <param name="settings">Device, threads and precision.</param>
    /// <param name="localRank">The local rank on this machine; also the index of its CUDA device.</param>
    /// <param name="localSize">The number of local ranks; they share the cores if no number of threads is given.</param>
    /// <exception cref="UsageException">libtorch cannot be loaded, or the device is not available.</exception>
    public static Device Configure(Settings settings, int localRank = 0, int localSize = 1)
    {
        Libtorch.Load();
        set_num_threads(settings.Threads == 0 ? Math.Max(1, Environment.ProcessorCount / localSize) : settings.Threads);
        if (settings.Device == "cpu")
        {
            return CPU;
        }

        int devices = cuda.is_available() ? cuda.device_count() : 0; // device("cuda") itself throws if there is none
        if (localRank >= devices)
        {
            throw new UsageException(
                $"there is no device cuda:{localRank} (libtorch {TorchLibraries.Version} sees {devices} CUDA devices{Visible()}); set "
                    + "device to cpu, or use a libtorch with CUDA support: LIBTORCH=/path/to/torch/lib");
        }

        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = settings.Model.Precision == Precision.Tf32;
        return device(FormattableString.Invariant($"cuda:{localRank}"));
    }

    private static string Visible()
        => Environment.GetEnvironmentVariable(CudaDevices.Variable) is { } devices ? $", {CudaDevices.Variable} is '{devices}'" : "";
}
