using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>
/// Batch normalisation with the batch's own statistics and ReLU as one function, on the CPU: its value, gradient and tangent. With
/// ẑ = (z − mean) / √(variance + ε), taken over all rows (Ioffe and Szegedy, 2015), it is y = max(0, weight · ẑ + bias).
/// </summary>
/// <remarks>
/// <para>
/// Operands of rows are <c>[M, C]</c> or <c>[N, C, H, W]</c> (M = N·H·W) of float32 or float64 whose channels lie side by side and
/// whose rows lie at one distance, C or more: channels-last memory, or a slice of the channels of a wider such tensor. All rows of a
/// call have one shape and type. What is written may be one of the operands that are read, whole, or lie apart from them.
/// </para>
/// <para>
/// Nothing is recorded for differentiation. Results do not depend on the number of threads or on the distance of the rows, nor between
/// the AVX paths on which of them ran. The caller keeps the handles' owners alive during a call.
/// </para>
/// </remarks>
public static class NormReluKernels
{
    /// <summary>The vector path of all kernels in this process; at first the widest.</summary>
    /// <exception cref="ExternalException">This processor does not have the path.</exception>
    public static VectorPath Path
    {
        get => (VectorPath)Runtime.Check(NativeMethods.KernelsPathGet());
        set => Runtime.Check(NativeMethods.KernelsPathSet((int)value));
    }

    /// <summary>The widest vector path of this processor; it has those below too.</summary>
    public static VectorPath WidestPath => (VectorPath)Runtime.Check(NativeMethods.KernelsPathWidest());

    /// <summary>Whether a tensor can be an operand of rows; not so are an undefined one (0) and one without elements.</summary>
    public static bool Supports(nint handle) => NativeMethods.NormReluSupports(handle) != 0;

    /// <summary>Computes y = max(0, z · scale + shift) with the statistics of z.</summary>
    /// <param name="z">Rows <c>[M, C]</c>, M ≥ 2.</param>
    /// <param name="weight"><c>[C]</c>.</param>
    /// <param name="bias"><c>[C]</c>.</param>
    /// <param name="eps">What is added to the variance, 0 or more.</param>
    /// <param name="runningMean"><c>[C]</c>, moved towards the mean by <paramref name="momentum"/>; or 0, with <paramref name="runningVar"/>.</param>
    /// <param name="runningVar"><c>[C]</c>, moved towards the unbiased variance (that of M − 1); or 0.</param>
    /// <param name="momentum">The weight of the new statistics in the running ones.</param>
    /// <param name="y">Rows <c>[M, C]</c>, written.</param>
    /// <param name="saved"><c>[4, C]</c>, written: mean, 1 / √(variance + ε), scale (weight times that), shift (bias − mean · scale).</param>
    /// <exception cref="ExternalException">An operand is undefined, or has another type, shape or layout than it must.</exception>
    public static void Forward(nint z, nint weight, nint bias, double eps, nint runningMean, nint runningVar, double momentum, nint y, nint saved)
        => Runtime.Check(NativeMethods.NormReluForward(z, weight, bias, eps, runningMean, runningVar, momentum, y, saved));

    /// <summary>Computes y once more, to the same bits, from what <see cref="Forward"/> left.</summary>
    /// <param name="z">Rows <c>[M, C]</c>, as <see cref="Forward"/> took them.</param>
    /// <param name="saved"><c>[4, C]</c>, as <see cref="Forward"/> left it.</param>
    /// <param name="y">Rows <c>[M, C]</c>, written.</param>
    /// <exception cref="ExternalException">An operand is undefined, or has another type, shape or layout than it must.</exception>
    public static void Again(nint z, nint saved, nint y) => Runtime.Check(NativeMethods.NormReluAgain(z, saved, y));

    /// <summary>Computes the gradients of Σ g · y.</summary>
    /// <param name="g">Rows <c>[M, C]</c>: the gradient by y.</param>
    /// <param name="z">Rows <c>[M, C]</c>, as <see cref="Forward"/> took them.</param>
    /// <param name="weight"><c>[C]</c>.</param>
    /// <param name="saved"><c>[4, C]</c>, as <see cref="Forward"/> left it.</param>
    /// <param name="dz">Rows <c>[M, C]</c>, written: the gradient by z.</param>
    /// <param name="dWeight"><c>[C]</c>, written: the gradient by weight.</param>
    /// <param name="dBias"><c>[C]</c>, written: the gradient by bias.</param>
    /// <exception cref="ExternalException">An operand is undefined, or has another type, shape or layout than it must.</exception>
    public static void Backward(nint g, nint z, nint weight, nint saved, nint dz, nint dWeight, nint dBias)
        => Runtime.Check(NativeMethods.NormReluBackward(g, z, weight, saved, dz, dWeight, dBias));

    /// <summary>
    /// Computes the derivative of y in the direction (t1 + t2, dWeight, dBias) of z, weight and bias. The Jacobian of the normalisation
    /// is symmetric, so the direction of z passes as a gradient does in <see cref="Backward"/>; ReLU's mask comes last.
    /// </summary>
    /// <param name="t1">Rows <c>[M, C]</c>.</param>
    /// <param name="t2">Rows <c>[M, C]</c>, or 0.</param>
    /// <param name="z">Rows <c>[M, C]</c>, as <see cref="Forward"/> took them.</param>
    /// <param name="dWeight"><c>[C]</c>, or 0: weight stays.</param>
    /// <param name="dBias"><c>[C]</c>, or 0: bias stays.</param>
    /// <param name="saved"><c>[4, C]</c>, as <see cref="Forward"/> left it.</param>
    /// <param name="dy">Rows <c>[M, C]</c>, written.</param>
    /// <exception cref="ExternalException">An operand is undefined, or has another type, shape or layout than it must.</exception>
    public static void Tangent(nint t1, nint t2, nint z, nint dWeight, nint dBias, nint saved, nint dy)
        => Runtime.Check(NativeMethods.NormReluTangent(t1, t2, z, dWeight, dBias, saved, dy));

    /// <summary>Adds rows to rows.</summary>
    /// <param name="target">Rows <c>[M, C]</c>, added to.</param>
    /// <param name="source">Rows <c>[M, C]</c>.</param>
    /// <exception cref="ExternalException">An operand is undefined, or has another type, shape or layout than it must.</exception>
    public static void AddRows(nint target, nint source) => Runtime.Check(NativeMethods.RowsAdd(target, source));
}

/// <summary>The instructions that the kernels use; the numbers are those of <c>norm_relu.cpp</c>.</summary>
public enum VectorPath
{
    /// <summary>What the compiler takes for granted.</summary>
    Portable,

    /// <summary>AVX2 with FMA.</summary>
    Avx2,

    /// <summary>AVX-512 (F, DQ, BW, VL) with FMA.</summary>
    Avx512,
}
