using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Libraries inside libtorch that compute on the CPU, and the switches that disable them. TorchSharp does not expose these: libtorch's C++
/// functions are called by their mangled names.
/// </summary>
internal static unsafe class LibtorchBackends
{
    /// <summary>
    /// NNPACK, for small batches on one thread: on processors that it does not support, as in many virtual machines, every such convolution
    /// writes a warning to stderr.
    /// </summary>
    public const string Nnpack = "_ZN2at7Context20setUserEnabledNNPACKEb";

    /// <summary>oneDNN, for nearly all convolutions.</summary>
    public const string OneDnn = "_ZN2at7Context20setUserEnabledMkldnnEb";

    private const int Trials = 8;

    private const string Context = "_ZN2at13globalContextEv"; // at::globalContext()

    /// <summary>Disables a backend; returns false if this libtorch has no such switch.</summary>
    /// <param name="library">The handle of <c>libtorch_cpu</c>.</param>
    /// <param name="backend"><see cref="Nnpack"/> or <see cref="OneDnn"/>.</param>
    public static bool Disable(nint library, string backend)
    {
        if (!NativeLibrary.TryGetExport(library, Context, out nint context) || !NativeLibrary.TryGetExport(library, backend, out nint set))
        {
            return false;
        }

        ((delegate* unmanaged[Cdecl]<nint, byte, void>)set)(((delegate* unmanaged[Cdecl]<nint>)context)(), 0);
        return true;
    }

    /// <summary>
    /// Whether oneDNN computes correct convolutions here. Version 3.7.1, in libtorch 2.10, does not on some processors, such as AMD's
    /// Zen 5: it lays channels out in blocks of 16 and does not clear the padding of the last block (fixed in 3.8.1).
    /// </summary>
    public static bool OneDnnIsCorrect()
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        // With fewer images, libtorch may not use oneDNN.
        Tensor images = arange(Held(0), Held(16 * 17 * 6 * 6), One, float64).sin().view(16, 17, 6, 6);
        Tensor kernels = arange(Held(0), Held(8 * 17 * 9), One, float64).cos().view(8, 17, 3, 3);
        Tensor exact = nn.functional.conv2d(images, kernels); // without oneDNN, in float64
        return Enumerable.Range(0, Trials).All(_ =>
        {
            // Fresh memory is zero, and the fault shows only in reused memory: fill some with NaN first.
            Tensor[] dirt =
                [.. Enumerable.Range(0, 64).Select(k => full([k % 2 == 0 ? 16 * 32 * 36 : 16 * 32 * 9], Held(double.NaN), float32))];
            Array.ForEach(dirt, tensor => tensor.Dispose());
            Tensor found = nn.functional.conv2d(images.to(float32), kernels.to(float32));
            return found.sub(exact).abs().max().item<double>() < 1e-3; // false for NaN
        });
    }
}
