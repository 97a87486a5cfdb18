using System.Numerics;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>The batch statistics per channel and derived values, <c>[C]</c> each.</summary>
internal readonly unsafe struct Saved<T>(Tensor saved, long channels)
    where T : unmanaged
{
    public T* Mean { get; } = Operand.Dense<T>(saved, "saved", 4, channels);

    /// <summary>1 / √(variance + ε).</summary>
    public T* InverseDeviation => Mean + channels;

    public T* Scale => Mean + (2 * channels);

    public T* Shift => Mean + (3 * channels);
}

/// <summary>
/// One kernel call on rows of one shape: its memory, its passes over the rows, and the per-channel computations between them.
/// </summary>
internal unsafe ref struct NormReluPass<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    private const int Coefficients = 5; // in Runs
    private const nuint Alignment = 64;
    private const long RoughRows = 32;

    private readonly T* _runs;
    private readonly double* _sums;
    private NormReluJob<T> _job;

    public NormReluPass(in Operand z)
    {
        var plan = new TilePlan(z.RowCount, z.Channels, sizeof(T));
        nuint runs = (nuint)(Coefficients * plan.Width * sizeof(T)), aligned = (runs + Alignment - 1) / Alignment * Alignment;
        _runs = (T*)TensorMemory.Rent((nint)aligned + (nint)(plan.Chunks * 2 * plan.Channels * sizeof(double)));
        _sums = (double*)((byte*)_runs + aligned);
        _job = new() { Plan = plan, Z = z.As<T>(), Partial = _sums };
    }

    public readonly void Dispose() => TensorMemory.Return(_runs);

    /// <summary>Computes the statistics of z into <paramref name="saved"/>, and updates the running ones, if any.</summary>
    public void Statistics(T* weight, T* bias, double epsilon, T* runningMean, T* runningVariance, double momentum, Saved<T> saved)
    {
        T* centre = Run(0);
        for (long c = 0; c < _job.Plan.Channels; c++)
        {
            centre[c] = T.CreateTruncating(RoughMean(c));
        }

        _job.Runs.Mean = Broadcast(0, centre);
        Sum(&NormReluLoops<T>.Sum<MomentsStep<T>>);
        double rows = _job.Plan.Rows;
        for (long c = 0; c < _job.Plan.Channels; c++)
        {
            double off = _sums[c] / rows, mean = double.CreateTruncating(centre[c]) + off;
            double raw = (_sums[_job.Plan.Channels + c] / rows) - (off * off);
            double variance = raw < 0 ? 0 : raw, inverse = 1 / Math.Sqrt(variance + epsilon); // NaN stays NaN
            saved.Mean[c] = T.CreateTruncating(mean);
            saved.InverseDeviation[c] = T.CreateTruncating(inverse);
            saved.Scale[c] = T.CreateTruncating(double.CreateTruncating(weight[c]) * inverse);
            saved.Shift[c] = T.CreateTruncating(double.CreateTruncating(bias[c]) - (mean * double.CreateTruncating(saved.Scale[c])));
            if (runningMean != null)
            {
                Mix(runningMean + c, mean, momentum);
                Mix(runningVariance + c, variance * rows / (rows - 1), momentum);
            }
        }
    }

    /// <summary>y = max(0, z · scale + shift).</summary>
    public void Activation(Saved<T> saved, Rows<T> y)
    {
        _job.Written = y;
        TakeActivation(saved);
        RunPass(&NormReluLoops<T>.Write<ActivationStep<T>>, isBackwards: true);
    }

    /// <summary>
    /// The gradient with respect to z is scale · (m − mean(m) − ẑ · mean(m · ẑ)) for the masked cotangent m, with
    /// ẑ = (z − mean) / deviation; those with respect to weight and bias are Σ m · ẑ and Σ m.
    /// </summary>
    public void Gradient(Rows<T> g, Saved<T> saved, Rows<T> dz, T* dWeight, T* dBias)
    {
        (_job.Change, _job.Written) = (g, dz);
        TakeActivation(saved);
        Sum(&NormReluLoops<T>.Sum<GradientSumsStep<T>>);
        TakeDerivative(saved, null, null);
        for (long c = 0; c < _job.Plan.Channels; c++)
        {
            dWeight[c] = T.CreateTruncating(_sums[_job.Plan.Channels + c] * double.CreateTruncating(saved.InverseDeviation[c]));
            dBias[c] = T.CreateTruncating(_sums[c]);
        }

        RunPass(&NormReluLoops<T>.Write<GradientStep<T>>, isBackwards: true);
    }

    /// <summary>
    /// The normalisation's Jacobian is symmetric: the tangent is the same expression in t, plus the terms of weight and bias, masked.
    /// </summary>
    public void Tangent(Rows<T> t1, Rows<T> t2, T* dWeight, T* dBias, Saved<T> saved, Rows<T> dy)
    {
        (_job.Change, _job.More, _job.Written) = (t1, t2, dy);
        TakeActivation(saved);
        Sum(&NormReluLoops<T>.Sum<TangentSumsStep<T>>);
        TakeDerivative(saved, dWeight, dBias);
        RunPass(&NormReluLoops<T>.Write<TangentStep<T>>, isBackwards: true);
    }

    /// <summary>Adds rows to z in place.</summary>
    public void Add(Rows<T> source)
    {
        (_job.Change, _job.Written) = (source, _job.Z);
        RunPass(&NormReluLoops<T>.Write<AddStep<T>>, isBackwards: false);
    }

    private static void Mix(T* running, double value, double momentum)
        => *running = T.CreateTruncating(((1 - momentum) * double.CreateTruncating(*running)) + (momentum * value));

    /// <summary>
    /// The mean of a few rows spread over all rows: close to the channel's mean, which avoids cancellation in the sum of squares.
    /// </summary>
    private readonly double RoughMean(long channel)
    {
        long rows = _job.Plan.Rows, samples = Math.Min(rows, RoughRows);
        double sum = 0;
        for (long k = 0; k < samples; k++)
        {
            sum += double.CreateTruncating(_job.Z.Data[(k * rows / samples * _job.Z.Stride) + channel]);
        }

        return double.IsFinite(sum) ? sum / samples : 0;
    }

    private void TakeActivation(Saved<T> saved)
    {
        _job.Runs.Mean = Broadcast(0, saved.Mean);
        _job.Runs.Scale = Broadcast(1, saved.Scale);
        _job.Runs.Shift = Broadcast(2, saved.Shift);
    }

    /// <summary>Slope and offset of the second pass, from the sums of the first; null: weight or bias has no tangent.</summary>
    private void TakeDerivative(Saved<T> saved, T* dWeight, T* dBias)
    {
        T* slope = Run(3), offset = Run(4);
        double rows = _job.Plan.Rows;
        for (long c = 0; c < _job.Plan.Channels; c++)
        {
            double inverse = double.CreateTruncating(saved.InverseDeviation[c]), scale = double.CreateTruncating(saved.Scale[c]);
            double byWeight = dWeight == null ? 0 : double.CreateTruncating(dWeight[c]);
            double byBias = dBias == null ? 0 : double.CreateTruncating(dBias[c]);
            slope[c] = T.CreateTruncating(inverse * (byWeight - (scale * inverse * _sums[_job.Plan.Channels + c] / rows)));
            offset[c] = T.CreateTruncating(byBias - (scale * _sums[c] / rows));
        }

        _job.Runs.Slope = Broadcast(3, slope);
        _job.Runs.Offset = Broadcast(4, offset);
    }

    private readonly T* Run(int index) => _runs + (index * _job.Plan.Width);

    /// <summary>Expands per-channel values to one value per element of a run; may be done in place.</summary>
    private readonly T* Broadcast(int index, T* values)
    {
        T* run = Run(index);
        for (long i = 0; i < _job.Plan.Width; i++)
        {
            run[i] = i < _job.Plan.Channels ? values[i] : run[i - _job.Plan.Channels];
        }

        return run;
    }

    /// <summary>
    /// A pass that computes C first and C second sums over all rows: per chunk, added in chunk order regardless of the thread.
    /// </summary>
    private void Sum(delegate*<void*, long, void*, void> body)
    {
        long count = 2 * _job.Plan.Channels;
        NativeMemory.Clear(_sums, (nuint)(_job.Plan.Chunks * count * sizeof(double)));
        RunPass(body, isBackwards: false);
        for (long chunk = 1; chunk < _job.Plan.Chunks; chunk++)
        {
            var sums = new Runs<double> { Z = _sums, Change = _sums + (chunk * count), Target = _sums };
            Sweep.Over<double, AddStep<double>>((nint)count, &sums);
        }
    }

    private void RunPass(delegate*<void*, long, void*, void> body, bool isBackwards)
    {
        _job.Chunks = new(_job.Plan.Chunks, body, (nint)(NormReluLoops<T>.WorkTiles * _job.Plan.Width * sizeof(T)), isBackwards);
        fixed (NormReluJob<T>* job = &_job)
        {
            Chunks.Run((Chunks*)job);
        }
    }
}
