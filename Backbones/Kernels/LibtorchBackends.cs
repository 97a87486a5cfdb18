using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Libraries within libtorch that it computes with on the CPU, and that it is kept from where they do harm. TorchSharp has no call for
/// it; libtorch's own C++ functions are called by their names.
/// </summary>
internal static unsafe class LibtorchBackends
{
    /// <summary>
    /// NNPACK, for small batches on one thread: on processors that it does not know, as in many virtual machines, every such convolution
    /// writes a warning to stderr.
    /// </summary>
    public const string Nnpack = "_ZN2at7Context20setUserEnabledNNPACKEb";

    /// <summary>oneDNN, for nearly all convolutions.</summary>
    public const string OneDnn = "_ZN2at7Context20setUserEnabledMkldnnEb";

    private const int Trials = 8;

    private const string Context = "_ZN2at13globalContextEv"; // at::globalContext()

    /// <summary>Keeps libtorch from one of them; false: this libtorch has no such function.</summary>
    /// <param name="library">The handle of <c>libtorch_cpu</c>.</param>
    /// <param name="backend">Which.</param>
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
    /// Whether oneDNN convolves rightly here. That of libtorch 2.10 (oneDNN 3.7.1) does not on AMD's Zen 5: it lays channels out in blocks
    /// of 16, and does not clear what fills up the last one.
    /// </summary>
    public static bool OneDnnIsRight()
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor images = arange(Held(2 * 17 * 8 * 8), float64).sin().view(2, 17, 8, 8);
        Tensor kernels = arange(Held(8 * 17 * 9), float64).cos().view(8, 17, 3, 3);
        Tensor exact = nn.functional.conv2d(images, kernels); // in float64 it is not oneDNN's
        return Enumerable.Range(0, Trials).All(_ =>
        {
            // A process's first memory is clear: what was there before has to be NaN for the fault to show.
            Tensor[] dirt = [.. Enumerable.Range(0, 64).Select(k => full([k % 2 == 0 ? 2 * 32 * 64 : 16 * 32 * 9], Held(double.NaN), float32))];
            Array.ForEach(dirt, tensor => tensor.Dispose());
            Tensor found = nn.functional.conv2d(images.to(float32), kernels.to(float32));
            return found.sub(exact).abs().max().item<double>() < 1e-3; // false for NaN
        });
    }
}
