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
internal static unsafe class RegisterTiles<T>
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

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightByOne<TVector, TLanes>(Product<T>* product)
        where TLanes : ILanes<T, TVector>
    {
        nint row = product->ARow, row2 = 2 * row, row3 = 3 * row, half = product->AHalf, length = product->Length;
        nint aStep = product->AStep, bStep = product->BStep, aSegment = product->ASegment, bSegment = product->BSegment;
        T* start = product->Initial;
        nint next = product->InitialRow;
        TVector c0 = TLanes.Load(start), c1 = TLanes.Load(start + next);
        TVector c2 = TLanes.Load(start + (2 * next)), c3 = TLanes.Load(start + (3 * next));
        start = product->InitialHalf;
        TVector c4 = TLanes.Load(start), c5 = TLanes.Load(start + next);
        TVector c6 = TLanes.Load(start + (2 * next)), c7 = TLanes.Load(start + (3 * next));
        for (nint g = 0; g < product->Groups; g++)
        {
            T* aOfSegment = product->A + (g * product->AGroup), bOfSegment = product->B + (g * product->BGroup);
            for (nint s = product->Segments; s > 0; s--)
            {
                T* p = aOfSegment, q = p + half, w = bOfSegment;
                for (nint k = length; k > 0; k--)
                {
                    TVector b = TLanes.Load(w);
                    c0 = TLanes.MultiplyAdd(TLanes.Broadcast(p), b, c0);
                    c1 = TLanes.MultiplyAdd(TLanes.Broadcast(p + row), b, c1);
                    c2 = TLanes.MultiplyAdd(TLanes.Broadcast(p + row2), b, c2);
                    c3 = TLanes.MultiplyAdd(TLanes.Broadcast(p + row3), b, c3);
                    c4 = TLanes.MultiplyAdd(TLanes.Broadcast(q), b, c4);
                    c5 = TLanes.MultiplyAdd(TLanes.Broadcast(q + row), b, c5);
                    c6 = TLanes.MultiplyAdd(TLanes.Broadcast(q + row2), b, c6);
                    c7 = TLanes.MultiplyAdd(TLanes.Broadcast(q + row3), b, c7);
                    p += aStep;
                    q += aStep;
                    w += bStep;
                }

                aOfSegment += aSegment;
                bOfSegment += bSegment;
            }
        }

        T* first = product->C, second = product->CHalf;
        nint down = product->CRow;
        bool rectifies = product->Rectifies;
        Store<TVector, TLanes>(c0, first, rectifies);
        Store<TVector, TLanes>(c1, first + down, rectifies);
        Store<TVector, TLanes>(c2, first + (2 * down), rectifies);
        Store<TVector, TLanes>(c3, first + (3 * down), rectifies);
        Store<TVector, TLanes>(c4, second, rectifies);
        Store<TVector, TLanes>(c5, second + down, rectifies);
        Store<TVector, TLanes>(c6, second + (2 * down), rectifies);
        Store<TVector, TLanes>(c7, second + (3 * down), rectifies);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByTwo<TVector, TLanes>(Product<T>* product)
        where TLanes : ILanes<T, TVector>
    {
        nint row = product->ARow, half = product->AHalf, length = product->Length, width = TLanes.Width;
        nint aStep = product->AStep, bStep = product->BStep, aSegment = product->ASegment, bSegment = product->BSegment;
        T* start = product->Initial, other = product->InitialHalf;
        nint next = product->InitialRow;
        TVector c0 = TLanes.Load(start), c1 = TLanes.Load(start + next), c2 = TLanes.Load(other), c3 = TLanes.Load(other + next);
        start += width;
        other += width;
        TVector d0 = TLanes.Load(start), d1 = TLanes.Load(start + next), d2 = TLanes.Load(other), d3 = TLanes.Load(other + next);
        for (nint g = 0; g < product->Groups; g++)
        {
            T* aOfSegment = product->A + (g * product->AGroup), bOfSegment = product->B + (g * product->BGroup);
            for (nint s = product->Segments; s > 0; s--)
            {
                T* p = aOfSegment, q = p + half, w = bOfSegment;
                for (nint k = length; k > 0; k--)
                {
                    TVector b = TLanes.Load(w), e = TLanes.Load(w + width), a = TLanes.Broadcast(p);
                    (c0, d0) = (TLanes.MultiplyAdd(a, b, c0), TLanes.MultiplyAdd(a, e, d0));
                    a = TLanes.Broadcast(p + row);
                    (c1, d1) = (TLanes.MultiplyAdd(a, b, c1), TLanes.MultiplyAdd(a, e, d1));
                    a = TLanes.Broadcast(q);
                    (c2, d2) = (TLanes.MultiplyAdd(a, b, c2), TLanes.MultiplyAdd(a, e, d2));
                    a = TLanes.Broadcast(q + row);
                    (c3, d3) = (TLanes.MultiplyAdd(a, b, c3), TLanes.MultiplyAdd(a, e, d3));
                    p += aStep;
                    q += aStep;
                    w += bStep;
                }

                aOfSegment += aSegment;
                bOfSegment += bSegment;
            }
        }

        T* first = product->C, second = product->CHalf;
        nint down = product->CRow;
        bool rectifies = product->Rectifies;
        Store<TVector, TLanes>(c0, d0, first, rectifies);
        Store<TVector, TLanes>(c1, d1, first + down, rectifies);
        Store<TVector, TLanes>(c2, d2, second, rectifies);
        Store<TVector, TLanes>(c3, d3, second + down, rectifies);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void FourByThree<TVector, TLanes>(Product<T>* product)
        where TLanes : ILanes<T, TVector>
    {
        nint row = product->ARow, half = product->AHalf, length = product->Length, width = TLanes.Width;
        nint aStep = product->AStep, bStep = product->BStep, aSegment = product->ASegment, bSegment = product->BSegment;
        T* start = product->Initial, other = product->InitialHalf;
        nint next = product->InitialRow;
        TVector c0 = TLanes.Load(start), c1 = TLanes.Load(start + next), c2 = TLanes.Load(other), c3 = TLanes.Load(other + next);
        start += width;
        other += width;
        TVector d0 = TLanes.Load(start), d1 = TLanes.Load(start + next), d2 = TLanes.Load(other), d3 = TLanes.Load(other + next);
        start += width;
        other += width;
        TVector e0 = TLanes.Load(start), e1 = TLanes.Load(start + next), e2 = TLanes.Load(other), e3 = TLanes.Load(other + next);
        for (nint g = 0; g < product->Groups; g++)
        {
            T* aOfSegment = product->A + (g * product->AGroup), bOfSegment = product->B + (g * product->BGroup);
            for (nint s = product->Segments; s > 0; s--)
            {
                T* p = aOfSegment, q = p + half, w = bOfSegment;
                for (nint k = length; k > 0; k--)
                {
                    TVector x = TLanes.Load(w), y = TLanes.Load(w + width), z = TLanes.Load(w + width + width), a = TLanes.Broadcast(p);
                    (c0, d0, e0) = (TLanes.MultiplyAdd(a, x, c0), TLanes.MultiplyAdd(a, y, d0), TLanes.MultiplyAdd(a, z, e0));
                    a = TLanes.Broadcast(p + row);
                    (c1, d1, e1) = (TLanes.MultiplyAdd(a, x, c1), TLanes.MultiplyAdd(a, y, d1), TLanes.MultiplyAdd(a, z, e1));
                    a = TLanes.Broadcast(q);
                    (c2, d2, e2) = (TLanes.MultiplyAdd(a, x, c2), TLanes.MultiplyAdd(a, y, d2), TLanes.MultiplyAdd(a, z, e2));
                    a = TLanes.Broadcast(q + row);
                    (c3, d3, e3) = (TLanes.MultiplyAdd(a, x, c3), TLanes.MultiplyAdd(a, y, d3), TLanes.MultiplyAdd(a, z, e3));
                    p += aStep;
                    q += aStep;
                    w += bStep;
                }

                aOfSegment += aSegment;
                bOfSegment += bSegment;
            }
        }

        T* first = product->C, second = product->CHalf;
        nint down = product->CRow;
        bool rectifies = product->Rectifies;
        Store<TVector, TLanes>(c0, d0, first, rectifies);
        Store<TVector, TLanes>(e0, first + width + width, rectifies);
        Store<TVector, TLanes>(c1, d1, first + down, rectifies);
        Store<TVector, TLanes>(e1, first + down + width + width, rectifies);
        Store<TVector, TLanes>(c2, d2, second, rectifies);
        Store<TVector, TLanes>(e2, second + width + width, rectifies);
        Store<TVector, TLanes>(c3, d3, second + down, rectifies);
        Store<TVector, TLanes>(e3, second + down + width + width, rectifies);
    }

    /// <summary>Vector by vector and row by row, each time: what is written beyond a row is written before the next.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TVector, TLanes>(TVector value, T* target, bool rectifies)
        where TLanes : ILanes<T, TVector>
        => TLanes.Store(rectifies ? TLanes.Masked(value, value) : value, target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store<TVector, TLanes>(TVector left, TVector right, T* target, bool rectifies)
        where TLanes : ILanes<T, TVector>
    {
        Store<TVector, TLanes>(left, target, rectifies);
        Store<TVector, TLanes>(right, target + TLanes.Width, rectifies);
    }
}
