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
/// and keep the multipliers busy; sixteen of one, or eight of two, into the 32 registers of processors with vectors of 512 bits.
/// Each sum is computed in the same order, term by term, regardless of the vector width.
/// </summary>
internal static unsafe partial class RegisterTiles<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    /// <summary>The maximum number of vectors in a tile.</summary>
    public const int MaxVectors = 3;

    /// <summary>A tile has this many rows, or half or twice as many; memory for rows is padded to a multiple of it.</summary>
    public const int RowUnit = 8;

    /// <summary>The maximum number of elements in a tile.</summary>
    public const int MaxElements = 256;

    /// <summary>The number of elements in a vector.</summary>
    public static int Width => Vector512.IsHardwareAccelerated ? Lanes512<T>.Width
        : Vector256.IsHardwareAccelerated ? Lanes256<T>.Width
        : Vector128.IsHardwareAccelerated ? Lanes128<T>.Width
        : Scalar<T>.Width;

    /// <summary>The number of rows in the next tile.</summary>
    /// <param name="vectors">Its number of vectors, 1 to 3.</param>
    /// <param name="needed">How many rows are still needed: a tile goes beyond them only as far as the padding.</param>
    public static int Rows(int vectors, long needed) => vectors switch
    {
        1 => Vector512.IsHardwareAccelerated && needed >= 2 * RowUnit ? 2 * RowUnit : RowUnit,
        2 => Vector512.IsHardwareAccelerated && needed > RowUnit / 2 ? RowUnit : RowUnit / 2,
        _ => RowUnit / 2,
    };

    /// <summary>How many of the remaining vectors the next tile takes: three at most, and four as two and two, not three and one.</summary>
    public static int Take(long left) => left == 4 ? 2 : (int)Math.Min(left, MaxVectors);

    /// <summary>Computes a tile.</summary>
    /// <param name="vectors">1 to 3.</param>
    /// <param name="rows">What <see cref="Rows"/> returned.</param>
    /// <param name="product">The product.</param>
    public static void Run(int vectors, int rows, Product<T>* product)
    {
        if (Vector512.IsHardwareAccelerated)
        {
            Run<Vector512<T>, Lanes512<T>>(vectors, rows, product);
        }
        else if (Vector256.IsHardwareAccelerated)
        {
            Run<Vector256<T>, Lanes256<T>>(vectors, rows, product);
        }
        else if (Vector128.IsHardwareAccelerated)
        {
            Run<Vector128<T>, Lanes128<T>>(vectors, rows, product);
        }
        else
        {
            Run<T, Scalar<T>>(vectors, rows, product);
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

    private static void Run<TVector, TLanes>(int vectors, int rows, Product<T>* product)
        where TLanes : ILanes<T, TVector>
    {
        switch (vectors, rows)
        {
            case (1, RowUnit):
                EightByOne<TVector, TLanes>(product);
                break;
            case (1, _):
                SixteenByOne<TVector, TLanes>(product);
                break;
            case (2, RowUnit):
                EightByTwo<TVector, TLanes>(product);
                break;
            case (2, _):
                FourByTwo<TVector, TLanes>(product);
                break;
            default:
                FourByThree<TVector, TLanes>(product);
                break;
        }
    }
}
