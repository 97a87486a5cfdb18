using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// A tile of a matrix product, C = Initial + Σ A · B, small enough for its sums to stay in registers. Its rows come from A, an element at
/// a time, its columns from B, vectors wide. The sum runs over groups of segments of a length; every distance is in elements.
/// </summary>
internal unsafe struct Product<T>
    where T : unmanaged
{
    /// <summary>The first half of the rows begins at A, the other at A + AHalf.</summary>
    public T* A, B;

    /// <summary>From a row to the next, within a half, and from the first half to the second.</summary>
    public nint ARow, AHalf;

    /// <summary>What the sum runs over.</summary>
    public nint Groups, Segments, Length;

    /// <summary>From a term of the sum to the next, from a segment to the next, from a group to the next.</summary>
    public nint AStep, ASegment, AGroup, BStep, BSegment, BGroup;

    /// <summary>What the sums begin with: of the first half of the rows, and of the other.</summary>
    public T* Initial, InitialHalf;

    public nint InitialRow;

    /// <summary>Where the two halves of the rows are written.</summary>
    public T* C, CHalf;

    public nint CRow;

    /// <summary>Whether max(0, C) is written.</summary>
    public bool Rectifies;
}

/// <summary>
/// The innermost loops of all products. Eight rows of one vector, or four of two or three, are what the registers of a processor with 16
/// can hold and what keeps its multipliers busy. Each sum is taken in one order, term by term, whatever the width of the vectors.
/// </summary>
internal static unsafe partial class RegisterTiles<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    /// <summary>The most vectors of a tile.</summary>
    public const int MostVectors = 3;

    /// <summary>The most rows of a tile.</summary>
    public const int MostRows = 8;

    /// <summary>The most elements of a tile.</summary>
    public const int MostElements = 256;

    /// <summary>Elements of a vector.</summary>
    public static int Width => Vector512.IsHardwareAccelerated ? Lanes512<T>.Width
        : Vector256.IsHardwareAccelerated ? Lanes256<T>.Width
        : Vector128.IsHardwareAccelerated ? Lanes128<T>.Width
        : Scalar<T>.Width;

    /// <summary>Rows of a tile of so many vectors.</summary>
    public static int Rows(int vectors) => vectors == 1 ? MostRows : MostRows / 2;

    /// <summary>How many of the vectors that are left the next tile takes: three at most, and no single one after three.</summary>
    public static int Take(long left) => left == 4 ? 2 : (int)Math.Min(left, MostVectors);

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

    /// <summary>Copies a few elements, and touches no others.</summary>
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
