using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <content>Tiles for processors with 32 vector registers: eight rows by two vectors, sixteen by one.</content>
internal static unsafe partial class RegisterTiles<T>
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void EightByTwo<TVector, TLanes>(Product<T>* product)
        where TLanes : ILanes<T, TVector>
    {
        nint row = product->ARow, row2 = 2 * row, row3 = 3 * row, half = product->AHalf, length = product->Length, width = TLanes.Width;
        nint aStep = product->AStep, bStep = product->BStep, aSegment = product->ASegment, bSegment = product->BSegment;
        T* start = product->Initial, other = product->InitialHalf;
        nint next = product->InitialRow, next2 = 2 * next, next3 = 3 * next;
        TVector c0 = TLanes.Load(start), c1 = TLanes.Load(start + next);
        TVector c2 = TLanes.Load(start + next2), c3 = TLanes.Load(start + next3);
        TVector c4 = TLanes.Load(other), c5 = TLanes.Load(other + next);
        TVector c6 = TLanes.Load(other + next2), c7 = TLanes.Load(other + next3);
        start += width;
        other += width;
        TVector d0 = TLanes.Load(start), d1 = TLanes.Load(start + next);
        TVector d2 = TLanes.Load(start + next2), d3 = TLanes.Load(start + next3);
        TVector d4 = TLanes.Load(other), d5 = TLanes.Load(other + next);
        TVector d6 = TLanes.Load(other + next2), d7 = TLanes.Load(other + next3);
        for (nint g = 0; g < product->Groups; g++)
        {
            T* aOfSegment = product->A + (g * product->AGroup), bOfSegment = product->B + (g * product->BGroup);
            for (nint s = product->Segments; s > 0; s--)
            {
                T* p = aOfSegment, q = p + half, w = bOfSegment;
                for (nint k = length; k > 0; k--)
                {
                    TVector x = TLanes.Load(w), y = TLanes.Load(w + width), a = TLanes.Broadcast(p);
                    (c0, d0) = (TLanes.MultiplyAdd(a, x, c0), TLanes.MultiplyAdd(a, y, d0));
                    a = TLanes.Broadcast(p + row);
                    (c1, d1) = (TLanes.MultiplyAdd(a, x, c1), TLanes.MultiplyAdd(a, y, d1));
                    a = TLanes.Broadcast(p + row2);
                    (c2, d2) = (TLanes.MultiplyAdd(a, x, c2), TLanes.MultiplyAdd(a, y, d2));
                    a = TLanes.Broadcast(p + row3);
                    (c3, d3) = (TLanes.MultiplyAdd(a, x, c3), TLanes.MultiplyAdd(a, y, d3));
                    a = TLanes.Broadcast(q);
                    (c4, d4) = (TLanes.MultiplyAdd(a, x, c4), TLanes.MultiplyAdd(a, y, d4));
                    a = TLanes.Broadcast(q + row);
                    (c5, d5) = (TLanes.MultiplyAdd(a, x, c5), TLanes.MultiplyAdd(a, y, d5));
                    a = TLanes.Broadcast(q + row2);
                    (c6, d6) = (TLanes.MultiplyAdd(a, x, c6), TLanes.MultiplyAdd(a, y, d6));
                    a = TLanes.Broadcast(q + row3);
                    (c7, d7) = (TLanes.MultiplyAdd(a, x, c7), TLanes.MultiplyAdd(a, y, d7));
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
        Store<TVector, TLanes>(c2, d2, first + (2 * down), rectifies);
        Store<TVector, TLanes>(c3, d3, first + (3 * down), rectifies);
        Store<TVector, TLanes>(c4, d4, second, rectifies);
        Store<TVector, TLanes>(c5, d5, second + down, rectifies);
        Store<TVector, TLanes>(c6, d6, second + (2 * down), rectifies);
        Store<TVector, TLanes>(c7, d7, second + (3 * down), rectifies);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void SixteenByOne<TVector, TLanes>(Product<T>* product)
        where TLanes : ILanes<T, TVector>
    {
        nint row = product->ARow, row2 = 2 * row, row3 = 3 * row, row4 = 4 * row, half = product->AHalf, length = product->Length;
        nint aStep = product->AStep, bStep = product->BStep, aSegment = product->ASegment, bSegment = product->BSegment;
        T* start = product->Initial, other = product->InitialHalf;
        nint next = product->InitialRow;
        TVector c0 = TLanes.Load(start), c1 = TLanes.Load(start + next);
        TVector c2 = TLanes.Load(start + (2 * next)), c3 = TLanes.Load(start + (3 * next));
        TVector c4 = TLanes.Load(start + (4 * next)), c5 = TLanes.Load(start + (5 * next));
        TVector c6 = TLanes.Load(start + (6 * next)), c7 = TLanes.Load(start + (7 * next));
        TVector c8 = TLanes.Load(other), c9 = TLanes.Load(other + next);
        TVector c10 = TLanes.Load(other + (2 * next)), c11 = TLanes.Load(other + (3 * next));
        TVector c12 = TLanes.Load(other + (4 * next)), c13 = TLanes.Load(other + (5 * next));
        TVector c14 = TLanes.Load(other + (6 * next)), c15 = TLanes.Load(other + (7 * next));
        for (nint g = 0; g < product->Groups; g++)
        {
            T* aOfSegment = product->A + (g * product->AGroup), bOfSegment = product->B + (g * product->BGroup);
            for (nint s = product->Segments; s > 0; s--)
            {
                T* p = aOfSegment, q = p + half, w = bOfSegment;
                for (nint k = length; k > 0; k--)
                {
                    TVector b = TLanes.Load(w);
                    T* p4 = p + row4, q4 = q + row4;
                    c0 = TLanes.MultiplyAdd(TLanes.Broadcast(p), b, c0);
                    c1 = TLanes.MultiplyAdd(TLanes.Broadcast(p + row), b, c1);
                    c2 = TLanes.MultiplyAdd(TLanes.Broadcast(p + row2), b, c2);
                    c3 = TLanes.MultiplyAdd(TLanes.Broadcast(p + row3), b, c3);
                    c4 = TLanes.MultiplyAdd(TLanes.Broadcast(p4), b, c4);
                    c5 = TLanes.MultiplyAdd(TLanes.Broadcast(p4 + row), b, c5);
                    c6 = TLanes.MultiplyAdd(TLanes.Broadcast(p4 + row2), b, c6);
                    c7 = TLanes.MultiplyAdd(TLanes.Broadcast(p4 + row3), b, c7);
                    c8 = TLanes.MultiplyAdd(TLanes.Broadcast(q), b, c8);
                    c9 = TLanes.MultiplyAdd(TLanes.Broadcast(q + row), b, c9);
                    c10 = TLanes.MultiplyAdd(TLanes.Broadcast(q + row2), b, c10);
                    c11 = TLanes.MultiplyAdd(TLanes.Broadcast(q + row3), b, c11);
                    c12 = TLanes.MultiplyAdd(TLanes.Broadcast(q4), b, c12);
                    c13 = TLanes.MultiplyAdd(TLanes.Broadcast(q4 + row), b, c13);
                    c14 = TLanes.MultiplyAdd(TLanes.Broadcast(q4 + row2), b, c14);
                    c15 = TLanes.MultiplyAdd(TLanes.Broadcast(q4 + row3), b, c15);
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
        Store<TVector, TLanes>(c4, first + (4 * down), rectifies);
        Store<TVector, TLanes>(c5, first + (5 * down), rectifies);
        Store<TVector, TLanes>(c6, first + (6 * down), rectifies);
        Store<TVector, TLanes>(c7, first + (7 * down), rectifies);
        Store<TVector, TLanes>(c8, second, rectifies);
        Store<TVector, TLanes>(c9, second + down, rectifies);
        Store<TVector, TLanes>(c10, second + (2 * down), rectifies);
        Store<TVector, TLanes>(c11, second + (3 * down), rectifies);
        Store<TVector, TLanes>(c12, second + (4 * down), rectifies);
        Store<TVector, TLanes>(c13, second + (5 * down), rectifies);
        Store<TVector, TLanes>(c14, second + (6 * down), rectifies);
        Store<TVector, TLanes>(c15, second + (7 * down), rectifies);
    }
}
