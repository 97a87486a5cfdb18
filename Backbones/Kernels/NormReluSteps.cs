using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>The runs of elements that a step reads and writes, each of a tile's width; a step uses some of them.</summary>
internal unsafe struct Runs<T>
    where T : unmanaged
{
    public T* Z;

    /// <summary>A gradient g; or a direction t of z, to which More is added unless null.</summary>
    public T* Change, More;

    /// <summary>The output.</summary>
    public T* Target;

    /// <summary>The lanes of two sums.</summary>
    public T* First, Second;

    /// <summary>Values per channel, repeated for each element, like all that follow; ReLU's argument is z · scale + shift.</summary>
    public T* Scale, Shift;

    public T* Mean;

    /// <summary>For derivatives: slope · (z − mean) + offset is the contribution of the statistics.</summary>
    public T* Slope, Offset;
}

/// <summary>target = z + change.</summary>
internal unsafe struct AddStep<T> : IStep<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IStep<T>.At<TVector, TLanes>(in Runs<T> runs, nint i)
        => TLanes.Store(TLanes.Add(TLanes.Load(runs.Z + i), TLanes.Load(runs.Change + i)), runs.Target + i);
}

/// <summary>Sums of d = z − mean and of d²; any centre may be used in place of the mean.</summary>
internal unsafe struct MomentsStep<T> : IStep<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IStep<T>.At<TVector, TLanes>(in Runs<T> runs, nint i)
    {
        TVector d = TLanes.Subtract(TLanes.Load(runs.Z + i), TLanes.Load(runs.Mean + i));
        TLanes.Store(TLanes.Add(TLanes.Load(runs.First + i), d), runs.First + i);
        TLanes.Store(TLanes.MultiplyAdd(d, d, TLanes.Load(runs.Second + i)), runs.Second + i);
    }
}

/// <summary>y = max(0, z · scale + shift).</summary>
internal unsafe struct ActivationStep<T> : IStep<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IStep<T>.At<TVector, TLanes>(in Runs<T> runs, nint i)
    {
        TVector v = TLanes.MultiplyAdd(TLanes.Load(runs.Z + i), TLanes.Load(runs.Scale + i), TLanes.Load(runs.Shift + i));
        TLanes.Store(TLanes.Masked(v, v), runs.Target + i);
    }
}

/// <summary>Sums of m = mask · g and of m · (z − mean).</summary>
internal unsafe struct GradientSumsStep<T> : IStep<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IStep<T>.At<TVector, TLanes>(in Runs<T> runs, nint i)
    {
        TVector z = TLanes.Load(runs.Z + i), v = TLanes.MultiplyAdd(z, TLanes.Load(runs.Scale + i), TLanes.Load(runs.Shift + i));
        TVector m = TLanes.Masked(v, TLanes.Load(runs.Change + i)), off = TLanes.Subtract(z, TLanes.Load(runs.Mean + i));
        TLanes.Store(TLanes.Add(TLanes.Load(runs.First + i), m), runs.First + i);
        TLanes.Store(TLanes.MultiplyAdd(m, off, TLanes.Load(runs.Second + i)), runs.Second + i);
    }
}

/// <summary>∂/∂z = scale · mask · g + slope · (z − mean) + offset.</summary>
internal unsafe struct GradientStep<T> : IStep<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IStep<T>.At<TVector, TLanes>(in Runs<T> runs, nint i)
    {
        TVector z = TLanes.Load(runs.Z + i), scale = TLanes.Load(runs.Scale + i), off = TLanes.Subtract(z, TLanes.Load(runs.Mean + i));
        TVector m = TLanes.Masked(TLanes.MultiplyAdd(z, scale, TLanes.Load(runs.Shift + i)), TLanes.Load(runs.Change + i));
        TVector rest = TLanes.MultiplyAdd(TLanes.Load(runs.Slope + i), off, TLanes.Load(runs.Offset + i));
        TLanes.Store(TLanes.MultiplyAdd(scale, m, rest), runs.Target + i);
    }
}

/// <summary>t, in one or two parts.</summary>
internal static unsafe class Direction
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TVector At<T, TVector, TLanes>(in Runs<T> runs, nint i)
        where T : unmanaged
        where TLanes : ILanes<T, TVector>
        => runs.More == null ? TLanes.Load(runs.Change + i) : TLanes.Add(TLanes.Load(runs.Change + i), TLanes.Load(runs.More + i));
}

/// <summary>Sums of t and of t · (z − mean).</summary>
internal unsafe struct TangentSumsStep<T> : IStep<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IStep<T>.At<TVector, TLanes>(in Runs<T> runs, nint i)
    {
        TVector t = Direction.At<T, TVector, TLanes>(runs, i), off = TLanes.Subtract(TLanes.Load(runs.Z + i), TLanes.Load(runs.Mean + i));
        TLanes.Store(TLanes.Add(TLanes.Load(runs.First + i), t), runs.First + i);
        TLanes.Store(TLanes.MultiplyAdd(t, off, TLanes.Load(runs.Second + i)), runs.Second + i);
    }
}

/// <summary>ẏ = mask · (scale · t + slope · (z − mean) + offset).</summary>
internal unsafe struct TangentStep<T> : IStep<T>
    where T : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    static void IStep<T>.At<TVector, TLanes>(in Runs<T> runs, nint i)
    {
        TVector z = TLanes.Load(runs.Z + i), scale = TLanes.Load(runs.Scale + i), off = TLanes.Subtract(z, TLanes.Load(runs.Mean + i));
        TVector rest = TLanes.MultiplyAdd(TLanes.Load(runs.Slope + i), off, TLanes.Load(runs.Offset + i));
        TVector d = TLanes.MultiplyAdd(scale, Direction.At<T, TVector, TLanes>(runs, i), rest);
        TLanes.Store(TLanes.Masked(TLanes.MultiplyAdd(z, scale, TLanes.Load(runs.Shift + i)), d), runs.Target + i);
    }
}
