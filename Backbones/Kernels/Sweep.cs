using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>What is done to each element, written once for all widths.</summary>
internal interface IStep<T>
    where T : unmanaged
{
    /// <summary>Treats the elements from index i on, as many as the lanes count.</summary>
    void At<TVector, TLanes>(nint i)
        where TLanes : ILanes<T, TVector>;
}

/// <summary>Does a step to all elements of a run: in the widest vectors that the processor has, and the rest one by one.</summary>
internal static class Sweep
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Over<T, TStep>(nint count, TStep step)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
        where TStep : struct, IStep<T>
    {
        nint i = 0;
        if (Vector512.IsHardwareAccelerated)
        {
            for (; i <= count - Vector512<T>.Count; i += Vector512<T>.Count)
            {
                step.At<Vector512<T>, Lanes512<T>>(i);
            }
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            for (; i <= count - Vector256<T>.Count; i += Vector256<T>.Count)
            {
                step.At<Vector256<T>, Lanes256<T>>(i);
            }
        }
        else if (Vector128.IsHardwareAccelerated)
        {
            for (; i <= count - Vector128<T>.Count; i += Vector128<T>.Count)
            {
                step.At<Vector128<T>, Lanes128<T>>(i);
            }
        }

        for (; i < count; i++)
        {
            step.At<T, Scalar<T>>(i);
        }
    }
}
