using System.Numerics;
using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Batch normalisation with batch statistics fused with ReLU, on the CPU: value, gradient and tangent. With
/// ẑ = (z − mean) / √(variance + ε), taken over all rows (Ioffe and Szegedy, 2015), it is y = max(0, weight · ẑ + bias).
/// </summary>
/// <remarks>
/// <para>
/// Operands of rows are <c>[M, C]</c> or <c>[N, C, H, W]</c> (M = N·H·W) of float32 or float64 whose channels are contiguous and whose
/// rows have a constant stride of at least C: channels-last memory, or a channel slice of a wider such tensor. All rows of a call have
/// the same shape and type. An output may be identical to an input operand; otherwise it must not overlap any of them.
/// </para>
/// <para>
/// Nothing is recorded for differentiation, but autograd is told that tensors it may have saved were modified. Results do not depend on the
/// number of threads or on the row stride, nor, if the processor has fused multiply-add, on its vector width.
/// </para>
/// </remarks>
/// <exception cref="ArgumentException">
/// By every method except <see cref="Supports"/>: an operand is undefined, or has the wrong type, shape or layout.
/// </exception>
/// <exception cref="NotSupportedException">By every method: the loaded libtorch is not 2.10.</exception>
public static unsafe class NormReluKernels
{
    /// <summary>Whether a tensor can be an operand of rows; false for null, disposed and empty tensors.</summary>
    public static bool Supports(Tensor? tensor) => Operand.IsRows(tensor);

    /// <summary>Computes y = max(0, z · scale + shift) with the statistics of z.</summary>
    /// <param name="z">Rows <c>[M, C]</c>, M ≥ 2.</param>
    /// <param name="weight"><c>[C]</c>.</param>
    /// <param name="bias"><c>[C]</c>.</param>
    /// <param name="eps">The constant added to the variance, at least 0.</param>
    /// <param name="runningMean">
    /// <c>[C]</c>, updated towards the mean by <paramref name="momentum"/>; or null, like <paramref name="runningVar"/>.
    /// </param>
    /// <param name="runningVar"><c>[C]</c>, updated towards the unbiased variance (divisor M − 1); or null.</param>
    /// <param name="momentum">The weight of the new statistics in the running ones.</param>
    /// <param name="y">Rows <c>[M, C]</c>, written.</param>
    /// <param name="saved">
    /// <c>[4, C]</c>, written: mean, 1 / √(variance + ε), scale (weight times that), shift (bias − mean · scale).
    /// </param>
    public static void Forward(
        Tensor z, Tensor weight, Tensor bias, double eps, Tensor? runningMean, Tensor? runningVar, double momentum, Tensor y, Tensor saved)
    {
        Operand rows = Operand.Rows(z, "z"), written = Operand.Written(y, "y", rows);
        Require(double.IsFinite(eps) && eps >= 0, $"eps is {eps}, but must be >= 0");
        Require(double.IsFinite(momentum), $"the momentum is {momentum}");
        Require(runningMean is null == runningVar is null, "the running mean and variance must both be given or both be null");
        Require(rows.RowCount > 1, "a single row has no statistics: training needs more than 1 value per channel");
        rows.ByType(Run<float>, Run<double>);
        Finish([y, saved, runningMean, runningVar], z, weight, bias);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            long channels = rows.Channels;
            T* scale = Operand.Dense<T>(weight, "weight", channels), shift = Operand.Dense<T>(bias, "bias", channels);
            T* mean = Operand.Optional<T>(runningMean, "the running mean", channels);
            T* variance = Operand.Optional<T>(runningVar, "the running variance", channels);
            var statistics = new Saved<T>(saved, channels);
            using var pass = new NormReluPass<T>(rows);
            pass.Statistics(scale, shift, eps, mean, variance, momentum, statistics);
            pass.Activation(statistics, written.As<T>());
        }
    }

    /// <summary>Recomputes y, bit for bit, from what <see cref="Forward"/> saved.</summary>
    /// <param name="z">Rows <c>[M, C]</c>, as passed to <see cref="Forward"/>.</param>
    /// <param name="saved"><c>[4, C]</c>, as saved by <see cref="Forward"/>.</param>
    /// <param name="y">Rows <c>[M, C]</c>, written.</param>
    public static void Recompute(Tensor z, Tensor saved, Tensor y)
    {
        Operand rows = Operand.Rows(z, "z"), written = Operand.Written(y, "y", rows);
        rows.ByType(Run<float>, Run<double>);
        Finish([y], z, saved);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            var statistics = new Saved<T>(saved, rows.Channels);
            using var pass = new NormReluPass<T>(rows);
            pass.Activation(statistics, written.As<T>());
        }
    }

    /// <summary>Computes the gradients of Σ g · y.</summary>
    /// <param name="g">Rows <c>[M, C]</c>: the gradient with respect to y.</param>
    /// <param name="z">Rows <c>[M, C]</c>, as passed to <see cref="Forward"/>.</param>
    /// <param name="saved"><c>[4, C]</c>, as saved by <see cref="Forward"/>; its scale includes the weight.</param>
    /// <param name="dz">Rows <c>[M, C]</c>, written: the gradient with respect to z.</param>
    /// <param name="dWeight"><c>[C]</c>, written: the gradient with respect to weight.</param>
    /// <param name="dBias"><c>[C]</c>, written: the gradient with respect to bias.</param>
    public static void Backward(Tensor g, Tensor z, Tensor saved, Tensor dz, Tensor dWeight, Tensor dBias)
    {
        Operand rows = Operand.Rows(z, "z"), cotangent = Operand.Rows(g, "g", rows), written = Operand.Written(dz, "dz", rows, cotangent);
        rows.ByType(Run<float>, Run<double>);
        Finish([dz, dWeight, dBias], g, z, saved);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            long channels = rows.Channels;
            var statistics = new Saved<T>(saved, channels);
            T* byWeight = Operand.Dense<T>(dWeight, "dWeight", channels), byBias = Operand.Dense<T>(dBias, "dBias", channels);
            using var pass = new NormReluPass<T>(rows);
            pass.Gradient(cotangent.As<T>(), statistics, written.As<T>(), byWeight, byBias);
        }
    }

    /// <summary>
    /// Computes the derivative of y in the direction (t1 + t2, dWeight, dBias) of z, weight and bias. The Jacobian of the normalisation
    /// is symmetric, so the direction of z is propagated like a gradient in <see cref="Backward"/>; ReLU's mask is applied last.
    /// </summary>
    /// <param name="t1">Rows <c>[M, C]</c>.</param>
    /// <param name="t2">Rows <c>[M, C]</c>, or null.</param>
    /// <param name="z">Rows <c>[M, C]</c>, as passed to <see cref="Forward"/>.</param>
    /// <param name="dWeight"><c>[C]</c>, or null: weight does not change.</param>
    /// <param name="dBias"><c>[C]</c>, or null: bias does not change.</param>
    /// <param name="saved"><c>[4, C]</c>, as saved by <see cref="Forward"/>.</param>
    /// <param name="dy">Rows <c>[M, C]</c>, written.</param>
    public static void Tangent(Tensor t1, Tensor? t2, Tensor z, Tensor? dWeight, Tensor? dBias, Tensor saved, Tensor dy)
    {
        Operand rows = Operand.Rows(z, "z"), first = Operand.Rows(t1, "t1", rows);
        Operand? second = t2 is null ? null : Operand.Rows(t2, "t2", rows);
        Operand written = Operand.Written(dy, "dy", rows, first, second ?? first);
        rows.ByType(Run<float>, Run<double>);
        Finish([dy], t1, t2, z, dWeight, dBias, saved);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            long channels = rows.Channels;
            T* weight = Operand.Optional<T>(dWeight, "dWeight", channels), bias = Operand.Optional<T>(dBias, "dBias", channels);
            var statistics = new Saved<T>(saved, channels);
            using var pass = new NormReluPass<T>(rows);
            pass.Tangent(first.As<T>(), second is { } more ? more.As<T>() : default, weight, bias, statistics, written.As<T>());
        }
    }

    /// <summary>Adds rows to rows.</summary>
    /// <param name="target">Rows <c>[M, C]</c>, added to.</param>
    /// <param name="source">Rows <c>[M, C]</c>.</param>
    public static void AddRows(Tensor target, Tensor source)
    {
        Operand sum = Operand.Rows(target, "target"), summand = Operand.Rows(source, "source", sum);
        sum.RequireDisjoint(summand);
        sum.ByType(Run<float>, Run<double>);
        Finish([target], source);

        void Run<T>()
            where T : unmanaged, IBinaryFloatingPointIeee754<T>
        {
            using var pass = new NormReluPass<T>(sum);
            pass.Add(summand.As<T>());
        }
    }

    private static void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw Operand.Error(what);
        }
    }

    /// <summary>
    /// Tells autograd that saved versions of the written tensors are stale: copying a tensor to itself does nothing but
    /// bump its version, for which the ABI has no function. Inputs are kept alive until here: a finaliser could otherwise free
    /// them while a kernel runs.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal static void Finish(ReadOnlySpan<Tensor?> written, params ReadOnlySpan<Tensor?> read)
    {
        byte mode = StableAbi.aoti_torch_grad_mode_is_enabled();
        StableAbi.aoti_torch_grad_mode_set_enabled(0); // leaf tensors that require grad may be written too
        foreach (Tensor? tensor in written)
        {
            if (tensor is not null)
            {
                StableAbi.ThrowOnFailure(StableAbi.aoti_torch_copy_(tensor.Handle, tensor.Handle, 0));
                GC.KeepAlive(tensor);
            }
        }

        StableAbi.aoti_torch_grad_mode_set_enabled(mode);
    }
}
