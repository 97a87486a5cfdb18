namespace Imta.MetaWeight.Native;

/// <summary>Sets of processor instructions that the fused kernels are compiled for.</summary>
public enum Instructions
{
    /// <summary>What every processor of the architecture has.</summary>
    Portable,

    /// <summary>AVX2 and FMA.</summary>
    Avx2,

    /// <summary>AVX-512 (F, DQ, BW, VL).</summary>
    Avx512,
}

/// <summary>
/// Batch norm by the batch's statistics, then ReLU, in one pass each over float32 or float64 tensors of the CPU: value, cotangent and
/// tangent. Every tensor is <c>[N, C]</c> or channels-last <c>[N, C, H, W]</c>, whole or a slice of a wider one along the channels. Results do
/// not depend on the number of threads.
/// </summary>
/// <remarks><c>saved</c> is <c>[4, C]</c>: mean μ, s = 1/√(variance + ε), and the scale γ·s and shift β − μ·γ·s with y = max(0, z · scale + shift).</remarks>
public static class NormReluKernels
{
    /// <summary>The instruction set in use: the best that the processor has, unless another was chosen.</summary>
    /// <exception cref="System.Runtime.InteropServices.ExternalException">Set: the processor has no such instructions.</exception>
    public static Instructions Instructions
    {
        get => (Instructions)NativeMethods.KernelsGet();
        set => Runtime.Check(NativeMethods.KernelsSet((int)value));
    }

    /// <summary>Whether the kernels take a tensor: by its type, device and layout.</summary>
    public static bool Take(nint tensor) => NativeMethods.NormReluTakes(tensor) != 0;

    /// <summary>Writes y and <paramref name="saved"/>; moves the running statistics where they are given, by the unbiased variance.</summary>
    /// <param name="z">Input.</param>
    /// <param name="weight">γ <c>[C]</c>.</param>
    /// <param name="bias">β <c>[C]</c>.</param>
    /// <param name="epsilon">ε.</param>
    /// <param name="runningMean"><c>[C]</c>, or 0.</param>
    /// <param name="runningVariance"><c>[C]</c>, or 0.</param>
    /// <param name="momentum">How far running statistics move.</param>
    /// <param name="y">Output, of z's shape.</param>
    /// <param name="saved">Output <c>[4, C]</c>.</param>
    /// <exception cref="System.Runtime.InteropServices.ExternalException">A tensor does not fit; nothing was written.</exception>
    public static void Forward(nint z, nint weight, nint bias, double epsilon, nint runningMean, nint runningVariance, double momentum, nint y, nint saved)
        => Runtime.Check(NativeMethods.NormReluForward(z, weight, bias, epsilon, runningMean, runningVariance, momentum, y, saved));

    /// <summary>Writes y once more, to the same numbers.</summary>
    /// <param name="z">Input of the forward pass.</param>
    /// <param name="saved">From the forward pass.</param>
    /// <param name="y">Output, of z's shape.</param>
    /// <exception cref="System.Runtime.InteropServices.ExternalException">A tensor does not fit; nothing was written.</exception>
    public static void Again(nint z, nint saved, nint y) => Runtime.Check(NativeMethods.NormReluAgain(z, saved, y));

    /// <summary>Writes ∂/∂z, ∂/∂γ and ∂/∂β.</summary>
    /// <param name="g">∂/∂y.</param>
    /// <param name="z">Input of the forward pass.</param>
    /// <param name="saved">From the forward pass.</param>
    /// <param name="byInput">Output, of z's shape.</param>
    /// <param name="byWeight">Output <c>[C]</c>.</param>
    /// <param name="byBias">Output <c>[C]</c>.</param>
    /// <exception cref="System.Runtime.InteropServices.ExternalException">A tensor does not fit; nothing was written.</exception>
    public static void Cotangent(nint g, nint z, nint saved, nint byInput, nint byWeight, nint byBias)
        => Runtime.Check(NativeMethods.NormReluCotangent(g, z, saved, byInput, byWeight, byBias));

    /// <summary>Writes the tangent of y.</summary>
    /// <param name="change">Tangent of z, or its first part.</param>
    /// <param name="more">What is to be added to it, or 0.</param>
    /// <param name="z">Input of the forward pass.</param>
    /// <param name="weightChange">Tangent of γ <c>[C]</c>, or 0.</param>
    /// <param name="biasChange">Tangent of β <c>[C]</c>, or 0.</param>
    /// <param name="saved">From the forward pass.</param>
    /// <param name="tangent">Output, of z's shape.</param>
    /// <exception cref="System.Runtime.InteropServices.ExternalException">A tensor does not fit; nothing was written.</exception>
    public static void Tangent(nint change, nint more, nint z, nint weightChange, nint biasChange, nint saved, nint tangent)
        => Runtime.Check(NativeMethods.NormReluTangent(change, more, z, weightChange, biasChange, saved, tangent));

    /// <summary>Adds a tensor to another of its shape, in place.</summary>
    /// <exception cref="System.Runtime.InteropServices.ExternalException">A tensor does not fit; nothing was written.</exception>
    public static void Add(nint target, nint source) => Runtime.Check(NativeMethods.RowsAdd(target, source));
}
