using System.Numerics;
using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Arithmetic on neighbouring elements, at one width. Where the processor has a fused multiply-add, all widths use it, so that their
/// results are equal to the bit; where it has none, all multiply and add, since an emulated one is slow. Nothing else is contracted.
/// </summary>
internal unsafe interface ILanes<T, TVector>
    where T : unmanaged
{
    static abstract int Count { get; }

    static abstract TVector Load(T* source);

    static abstract void Store(TVector value, T* target);

    static abstract TVector Add(TVector a, TVector b);

    static abstract TVector Subtract(TVector a, TVector b);

    /// <summary>a · b + c.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

    /// <summary>
    /// ReLU's derivative: 0 where its argument is 0 or less, else the value. A NaN lets pass what comes, as libtorch's does.
    /// </summary>
    static abstract TVector Masked(TVector argument, TVector value);
}

/// <summary>One element.</summary>
internal unsafe struct Scalar<T> : ILanes<T, T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    public static int Count => 1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Load(T* source) => *source;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(T value, T* target) => *target = value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Add(T a, T b) => a + b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Subtract(T a, T b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T MultiplyAdd(T a, T b, T c) => T.MultiplyAddEstimate(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Masked(T argument, T value) => argument <= T.Zero ? T.Zero : value;
}
