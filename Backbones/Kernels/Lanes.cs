using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Arithmetic on adjacent elements, at one vector width. If the processor has fused multiply-add, all widths use it, so that their
/// results are bit-identical; otherwise all multiply and add separately, since emulation is slow. Nothing else is contracted.
/// </summary>
/// <remarks>Methods with a single call are inlined automatically.</remarks>
internal unsafe interface ILanes<T, TVector>
    where T : unmanaged
{
    /// <summary>The number of elements in a vector.</summary>
    static abstract int Width { get; }

    static abstract TVector Load(T* source);

    /// <summary>One element in every lane.</summary>
    static abstract TVector Broadcast(T* source);

    static abstract void Store(TVector value, T* target);

    static abstract TVector Add(TVector a, TVector b);

    static abstract TVector Subtract(TVector a, TVector b);

    /// <summary>a · b + c.</summary>
    static abstract TVector MultiplyAdd(TVector a, TVector b, TVector c);

    /// <summary>
    /// ReLU's derivative: 0 where its argument is 0 or less, else the value. A NaN argument passes the value through, as in libtorch.
    /// </summary>
    static abstract TVector Masked(TVector argument, TVector value);
}

/// <summary>An element-wise operation, written once for all widths.</summary>
internal interface IStep<T>
    where T : unmanaged
{
    /// <summary>Processes one vector of elements, starting at index i.</summary>
    static abstract void At<TVector, TLanes>(in Runs<T> runs, nint i)
        where TLanes : ILanes<T, TVector>;
}

/// <summary>Applies a step to all elements of a run: in the widest vectors of the processor, and the rest one by one.</summary>
internal static unsafe class Sweep
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Over<T, TStep>(nint count, Runs<T>* from)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
        where TStep : struct, IStep<T>
    {
        Runs<T> runs = *from; // a copy: the fields that the step uses stay in registers
        nint i = Vector512.IsHardwareAccelerated ? Wide<T, TStep, Vector512<T>, Lanes512<T>>(0, count, Vector512<T>.Count, runs)
            : Vector256.IsHardwareAccelerated ? Wide<T, TStep, Vector256<T>, Lanes256<T>>(0, count, Vector256<T>.Count, runs)
            : Vector128.IsHardwareAccelerated ? Wide<T, TStep, Vector128<T>, Lanes128<T>>(0, count, Vector128<T>.Count, runs)
            : 0;
        _ = Wide<T, TStep, T, Scalar<T>>(i, count, 1, runs);
    }

    /// <summary>Processes as many of the remaining elements as fill whole vectors of one width; returns the index after them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static nint Wide<T, TStep, TVector, TLanes>(nint i, nint count, int width, in Runs<T> runs)
        where T : unmanaged
        where TStep : struct, IStep<T>
        where TLanes : ILanes<T, TVector>
    {
        for (; i <= count - width; i += width)
        {
            TStep.At<TVector, TLanes>(runs, i);
        }

        return i;
    }
}

/// <summary>One element.</summary>
internal unsafe struct Scalar<T> : ILanes<T, T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    public static int Width => 1;

    public static T Load(T* source) => *source;

    public static T Broadcast(T* source) => *source;

    public static void Store(T value, T* target) => *target = value;

    public static T Add(T a, T b) => a + b;

    public static T Subtract(T a, T b) => a - b;

    public static T MultiplyAdd(T a, T b, T c) => T.MultiplyAddEstimate(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static T Masked(T argument, T value) => argument <= T.Zero ? T.Zero : value;
}

/// <summary>128 bits.</summary>
internal unsafe struct Lanes128<T> : ILanes<T, Vector128<T>>
    where T : unmanaged
{
    public static int Width => Vector128<T>.Count;

    public static Vector128<T> Load(T* source) => Vector128.Load(source);

    public static Vector128<T> Broadcast(T* source) => Vector128.Create(*source);

    public static void Store(Vector128<T> value, T* target) => value.Store(target);

    public static Vector128<T> Add(Vector128<T> a, Vector128<T> b) => a + b;

    public static Vector128<T> Subtract(Vector128<T> a, Vector128<T> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> MultiplyAdd(Vector128<T> a, Vector128<T> b, Vector128<T> c) => typeof(T) == typeof(float)
        ? Vector128.MultiplyAddEstimate(a.AsSingle(), b.AsSingle(), c.AsSingle()).As<float, T>()
        : Vector128.MultiplyAddEstimate(a.AsDouble(), b.AsDouble(), c.AsDouble()).As<double, T>();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<T> Masked(Vector128<T> argument, Vector128<T> value)
        => Vector128.ConditionalSelect(Vector128.LessThanOrEqual(argument, Vector128<T>.Zero), Vector128<T>.Zero, value);
}

/// <summary>256 bits.</summary>
internal unsafe struct Lanes256<T> : ILanes<T, Vector256<T>>
    where T : unmanaged
{
    public static int Width => Vector256<T>.Count;

    public static Vector256<T> Load(T* source) => Vector256.Load(source);

    public static Vector256<T> Broadcast(T* source) => Vector256.Create(*source);

    public static void Store(Vector256<T> value, T* target) => value.Store(target);

    public static Vector256<T> Add(Vector256<T> a, Vector256<T> b) => a + b;

    public static Vector256<T> Subtract(Vector256<T> a, Vector256<T> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> MultiplyAdd(Vector256<T> a, Vector256<T> b, Vector256<T> c) => typeof(T) == typeof(float)
        ? Vector256.MultiplyAddEstimate(a.AsSingle(), b.AsSingle(), c.AsSingle()).As<float, T>()
        : Vector256.MultiplyAddEstimate(a.AsDouble(), b.AsDouble(), c.AsDouble()).As<double, T>();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<T> Masked(Vector256<T> argument, Vector256<T> value)
        => Vector256.ConditionalSelect(Vector256.LessThanOrEqual(argument, Vector256<T>.Zero), Vector256<T>.Zero, value);
}

/// <summary>512 bits.</summary>
internal unsafe struct Lanes512<T> : ILanes<T, Vector512<T>>
    where T : unmanaged
{
    public static int Width => Vector512<T>.Count;

    public static Vector512<T> Load(T* source) => Vector512.Load(source);

    public static Vector512<T> Broadcast(T* source) => Vector512.Create(*source);

    public static void Store(Vector512<T> value, T* target) => value.Store(target);

    public static Vector512<T> Add(Vector512<T> a, Vector512<T> b) => a + b;

    public static Vector512<T> Subtract(Vector512<T> a, Vector512<T> b) => a - b;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<T> MultiplyAdd(Vector512<T> a, Vector512<T> b, Vector512<T> c) => typeof(T) == typeof(float)
        ? Vector512.MultiplyAddEstimate(a.AsSingle(), b.AsSingle(), c.AsSingle()).As<float, T>()
        : Vector512.MultiplyAddEstimate(a.AsDouble(), b.AsDouble(), c.AsDouble()).As<double, T>();

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector512<T> Masked(Vector512<T> argument, Vector512<T> value)
        => Vector512.ConditionalSelect(Vector512.LessThanOrEqual(argument, Vector512<T>.Zero), Vector512<T>.Zero, value);
}
