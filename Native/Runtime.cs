using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>The process's libtorch: version, threads, devices, gradient mode; and how its errors become exceptions.</summary>
public static class Runtime
{
    /// <summary>Loads the library, so that a machine that lacks it learns so at a place of the caller's choice.</summary>
    /// <exception cref="DllNotFoundException">The library, or libtorch under it, is not there.</exception>
    public static void Load() => _ = NativeMethods.TensorLive();

    /// <summary>Whether the library, and libtorch under it, is there: without, everything runs in TorchSharp's ordinary operators.</summary>
    public static bool IsAvailable { get; } = CanLoad();

    /// <summary>libtorch's version, such as <c>1.13.1</c>.</summary>
    public static string TorchVersion => Marshal.PtrToStringUTF8(NativeMethods.TorchVersion()) ?? "";

    /// <summary>The threads that one operator uses on the CPU.</summary>
    public static int Threads
    {
        get => Check(NativeMethods.ThreadsGet());
        set => Check(NativeMethods.ThreadsSet(value));
    }

    /// <summary>The number of CUDA devices that this libtorch can use.</summary>
    public static int CudaDevices => Check(NativeMethods.CudaDevices());

    /// <summary>Whether operations are recorded for differentiation on this thread.</summary>
    public static bool GradMode
    {
        get => NativeMethods.GradModeGet() != 0;
        set => NativeMethods.GradModeSet(value ? 1 : 0);
    }

    /// <summary>
    /// How CUDA devices multiply: with TF32 or in full float32, and in convolutions by whichever of cuDNN's algorithms was the fastest when the
    /// shapes were met first, so that two runs may round differently.
    /// </summary>
    /// <param name="tf32">Whether float32's products are rounded to TF32, in convolutions and elsewhere.</param>
    public static void SetCudaMath(bool tf32) => Check(NativeMethods.SetCudaMath(tf32 ? 1 : 0));

    /// <summary>Waits until all work queued on a CUDA device is done.</summary>
    /// <param name="device">The device's index, −1: the current one.</param>
    public static void CudaSynchronize(int device = -1) => Check(NativeMethods.CudaSynchronize(device));

    /// <summary>Seeds libtorch's own generators, on all devices.</summary>
    public static void SeedAll(ulong seed) => Check(NativeMethods.SeedAll(seed));

    private static bool CanLoad()
    {
        try
        {
            Load();
            return true;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException)
        {
            return false;
        }
    }

    internal static int Check(int result) => result >= 0 ? result : throw LastError();

#pragma warning disable CA2201 // the type that TorchSharp throws for libtorch's errors
    internal static ExternalException LastError() => new(Marshal.PtrToStringUTF8(NativeMethods.Error()));
#pragma warning restore CA2201
}
