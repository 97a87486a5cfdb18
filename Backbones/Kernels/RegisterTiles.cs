using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// A tile of a matrix product, C = Initial + Σ A · B, small enough to keep its sums in registers. Its rows come from A, one element at
/// a time, its columns from B, a few vectors wide. The sum runs over groups of equal-length segments; all strides are in elements.
/// </summary>
internal unsafe struct Product<T>
    where T : unmanaged
{
    /// <summary>The first half of the rows starts at A, the second at A + AHalf.</summary>
    public T* A, B;

    /// <summary>The row stride within a half, and the offset of the second half.</summary>
    public nint ARow, AHalf;

    /// <summary>The extents of the sum.</summary>
    public nint Groups, Segments, Length;

    /// <summary>Strides per term, per segment and per group.</summary>
    public nint AStep, ASegment, AGroup, BStep, BSegment, BGroup;

    /// <summary>The initial sums of the first and second half of the rows.</summary>
    public T* Initial, InitialHalf;

    public nint InitialRow;

    /// <summary>The destinations of the two halves of the rows.</summary>
    public T* C, CHalf;

    public nint CRow;

    /// <summary>Whether max(0, C) is written.</summary>
    public bool Rectifies;
}

/// <summary>
/// The innermost loops of all products. Eight rows of one vector, or four of two or three, fit into 16 vector registers
/// and keep the multipliers busy. Each sum is computed in the same order, term by term, regardless of the vector width.
/// </summary>
internal static unsafe partial class RegisterTiles<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    /// <summary>The maximum number of vectors in a tile.</summary>
    public const int MaxVectors = 3;

    /// <summary>The maximum number of rows in a tile.</summary>
    public const int MaxRows = 8;

    /// <summary>The maximum number of elements in a tile.</summary>
    public const int MaxElements = 256;

    /// <summary>The number of elements in a vector.</summary>
    public static int Width => Vector512.IsHardwareAccelerated ? Lanes512<T>.Width
        : Vector256.IsHardwareAccelerated ? Lanes256<T>.Width
        : Vector128.IsHardwareAccelerated ? Lanes128<T>.Width
        : Scalar<T>.Width;

    /// <summary>The number of rows in a tile of the given number of vectors.</summary>
    public static int Rows(int vectors) => vectors == 1 ? MaxRows : MaxRows / 2;

    /// <summary>How many of the vectors that are left the next tile takes: three at most, and no single one after three.</summary>
    public static int Take(long left) => left == 4 ? 2 : (int)Math.Min(left, MaxVectors);

    /// <summary>Computes a tile of 1 to 3 vectors.</summary>
    public static void Run(int vectors, Product<T>* product)
    {
        if (Vector512.IsHardwareAccelerated)
        {
            Run<Vector512<T>, Lanes512<T>>(vectors, product);
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            Run<Vector256<T>, Lanes256<T>>(vectors, product);
        }
        else if (Vector128.IsHardwareAccelerated)
        {
            Run<Vector128<T>, Lanes128<T>>(vectors, product);
        }
        else
        {
            Run<T, Scalar<T>>(vectors, product);
        }
    }

    /// <summary>Copies a few elements without touching others.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(T* source, T* target, nint count)
    {
        byte* from = (byte*)source, to = (byte*)target;
        nint bytes = count * sizeof(T);
        for (; bytes >= sizeof(Vector256<byte>); bytes -= sizeof(Vector256<byte>))
        {
            *(Vector256<byte>*)to = *(Vector256<byte>*)from;
            from += sizeof(Vector256<byte>);
            to += sizeof(Vector256<byte>);
        }

        if ((bytes & sizeof(Vector128<byte>)) != 0)
        {
            *(Vector128<byte>*)to = *(Vector128<byte>*)from;
            from += sizeof(Vector128<byte>);
            to += sizeof(Vector128<byte>);
        }

        if ((bytes & sizeof(long)) != 0)
        {
            *(long*)to = *(long*)from;
            from += sizeof(long);
            to += sizeof(long);
        }

        if ((bytes & sizeof(int)) != 0)
        {
            *(int*)to = *(int*)from;
        }
    }

    private static void Run<TVector, TLanes>(int vectors, Product<T>* product)
        where TLanes : ILanes<T, TVector>
    {
        switch (vectors)
        {
            case 1:
                EightByOne<TVector, TLanes>(product);
                break;
            case 2:
                FourByTwo<TVector, TLanes>(product);
                break;
            default:
                FourByThree<TVector, TLanes>(product);
                break;
        }
    }
}
