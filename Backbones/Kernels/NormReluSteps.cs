using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// What an element is multiplied with and added to: a run of a tile's width each, a channel's value at each of its elements.
/// </summary>
internal unsafe struct Coefficients<T>
    where T : unmanaged
{
    /// <summary>ReLU's argument is z · scale + shift.</summary>
    public T* Scale;
    public T* Shift;

    public T* Mean;

    /// <summary>Of a derivative, by z − mean.</summary>
    public T* Slope;

    /// <summary>Of a derivative.</summary>
    public T* Offset;
}

/// <summary>target = a + b.</summary>
internal readonly unsafe struct AddStep<T>(T* a, T* b, T* target) : IStep<T>
    where T : unmanaged
{
    private readonly T* _a = a, _b = b, _target = target;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>
        => TLanes.Store(TLanes.Add(TLanes.Load(_a + i), TLanes.Load(_b + i)), _target + i);
}

/// <summary>Adds d = z − centre to the first lanes and d² to the second.</summary>
internal readonly unsafe struct MomentsStep<T>(T* z, T* centre, T* first, T* second) : IStep<T>
    where T : unmanaged
{
    private readonly T* _z = z, _centre = centre, _first = first, _second = second;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>
    {
        TVector d = TLanes.Subtract(TLanes.Load(_z + i), TLanes.Load(_centre + i));
        TLanes.Store(TLanes.Add(TLanes.Load(_first + i), d), _first + i);
        TLanes.Store(TLanes.MultiplyAdd(d, d, TLanes.Load(_second + i)), _second + i);
    }
}

/// <summary>y = max(0, z · scale + shift).</summary>
internal readonly unsafe struct ActivationStep<T>(T* z, in Coefficients<T> by, T* y) : IStep<T>
    where T : unmanaged
{
    private readonly T* _z = z, _scale = by.Scale, _shift = by.Shift, _y = y;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>
    {
        TVector v = TLanes.MultiplyAdd(TLanes.Load(_z + i), TLanes.Load(_scale + i), TLanes.Load(_shift + i));
        TLanes.Store(TLanes.Masked(v, v), _y + i);
    }
}

/// <summary>Adds the masked m = g to the first lanes and m · (z − mean) to the second.</summary>
internal readonly unsafe struct GradientSumsStep<T>(T* g, T* z, in Coefficients<T> by, T* first, T* second) : IStep<T>
    where T : unmanaged
{
    private readonly T* _g = g, _z = z, _scale = by.Scale, _shift = by.Shift, _mean = by.Mean, _first = first, _second = second;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>
    {
        TVector z = TLanes.Load(_z + i);
        TVector m = TLanes.Masked(TLanes.MultiplyAdd(z, TLanes.Load(_scale + i), TLanes.Load(_shift + i)), TLanes.Load(_g + i));
        TLanes.Store(TLanes.Add(TLanes.Load(_first + i), m), _first + i);
        TLanes.Store(TLanes.MultiplyAdd(m, TLanes.Subtract(z, TLanes.Load(_mean + i)), TLanes.Load(_second + i)), _second + i);
    }
}

/// <summary>target = scale · masked g + slope · (z − mean) + offset.</summary>
internal readonly unsafe struct GradientStep<T>(T* g, T* z, in Coefficients<T> by, T* target) : IStep<T>
    where T : unmanaged
{
    private readonly T* _g = g, _z = z, _target = target;
    private readonly T* _scale = by.Scale, _shift = by.Shift, _mean = by.Mean, _slope = by.Slope, _offset = by.Offset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>
    {
        TVector z = TLanes.Load(_z + i), scale = TLanes.Load(_scale + i);
        TVector m = TLanes.Masked(TLanes.MultiplyAdd(z, scale, TLanes.Load(_shift + i)), TLanes.Load(_g + i));
        TVector rest = TLanes.MultiplyAdd(TLanes.Load(_slope + i), TLanes.Subtract(z, TLanes.Load(_mean + i)), TLanes.Load(_offset + i));
        TLanes.Store(TLanes.MultiplyAdd(scale, m, rest), _target + i);
    }
}

/// <summary>A direction of z.</summary>
internal interface IDirection<T>
    where T : unmanaged
{
    TVector At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>;
}

/// <summary>A direction in one part.</summary>
internal readonly unsafe struct WholeDirection<T>(T* t) : IDirection<T>
    where T : unmanaged
{
    private readonly T* _t = t;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>
        => TLanes.Load(_t + i);
}

/// <summary>A direction that is the sum of two.</summary>
internal readonly unsafe struct SplitDirection<T>(T* t1, T* t2) : IDirection<T>
    where T : unmanaged
{
    private readonly T* _t1 = t1, _t2 = t2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public TVector At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>
        => TLanes.Add(TLanes.Load(_t1 + i), TLanes.Load(_t2 + i));
}

/// <summary>Adds the direction t to the first lanes and t · (z − mean) to the second.</summary>
internal readonly unsafe struct TangentSumsStep<T, TDirection>(TDirection t, T* z, T* mean, T* first, T* second) : IStep<T>
    where T : unmanaged
    where TDirection : struct, IDirection<T>
{
    private readonly TDirection _t = t;
    private readonly T* _z = z, _mean = mean, _first = first, _second = second;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>
    {
        TVector t = _t.At<TVector, TLanes>(i);
        TLanes.Store(TLanes.Add(TLanes.Load(_first + i), t), _first + i);
        TVector off = TLanes.Subtract(TLanes.Load(_z + i), TLanes.Load(_mean + i));
        TLanes.Store(TLanes.MultiplyAdd(t, off, TLanes.Load(_second + i)), _second + i);
    }
}

/// <summary>target = mask · (scale · t + slope · (z − mean) + offset).</summary>
internal readonly unsafe struct TangentStep<T, TDirection>(TDirection t, T* z, in Coefficients<T> by, T* target) : IStep<T>
    where T : unmanaged
    where TDirection : struct, IDirection<T>
{
    private readonly TDirection _t = t;
    private readonly T* _z = z, _target = target;
    private readonly T* _scale = by.Scale, _shift = by.Shift, _mean = by.Mean, _slope = by.Slope, _offset = by.Offset;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>
    {
        TVector z = TLanes.Load(_z + i), scale = TLanes.Load(_scale + i);
        TVector rest = TLanes.MultiplyAdd(TLanes.Load(_slope + i), TLanes.Subtract(z, TLanes.Load(_mean + i)), TLanes.Load(_offset + i));
        TVector d = TLanes.MultiplyAdd(scale, _t.At<TVector, TLanes>(i), rest);
        TLanes.Store(TLanes.Masked(TLanes.MultiplyAdd(z, scale, TLanes.Load(_shift + i)), d), _target + i);
    }
}
