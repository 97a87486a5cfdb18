using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <content>The tiles: eight rows by one vector, four by two, four by three.</content>
internal static unsafe partial class RegisterTiles<T>
{
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

    /// <summary>Always row by row and vector by vector: data written beyond a row is overwritten by the next row.</summary>
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
