using System.Buffers;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using SkiaSharp;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>A window of a picture, resampled in whole numbers as Pillow and so torchvision's Resize has it: bilinear over a support that grows with the reduction.</summary>
internal sealed class Resampling
{
    private const int Channels = 4; // of a pixel; the last one is not read
    private const int Bits = ResamplingTaps.Bits;
    private const int Half = 1 << (Bits - 1);
    private const int Group = 4; // pixels whose channels fill a vector of bytes

    private readonly PictureWindow _window;
    private readonly ResamplingTaps _across, _down;

    /// <param name="window">It lies within its picture.</param>
    public Resampling(PictureWindow window)
    {
        _window = window;
        _across = new ResamplingTaps(window.Width, window.Columns, window.Column, window.SideX);
        _down = new ResamplingTaps(window.Height, window.Rows, window.Row, window.SideY);
        Needed = new SKRectI(window.Left + _across.Low, window.Top + _down.Low, window.Left + _across.High, window.Top + _down.High);
    }

    /// <summary>The picture's pixels that are looked at.</summary>
    public SKRectI Needed { get; }

    /// <param name="pixels">Red, green, blue and what is not read, of <see cref="Needed"/>, its first pixel first.</param>
    /// <param name="stride">Bytes from row to row.</param>
    /// <param name="flip">Whether left and right change places.</param>
    /// <param name="planes">Takes <c>[3, SideY, SideX]</c>.</param>
    public void Run(ReadOnlySpan<byte> pixels, int stride, bool flip, Span<byte> planes)
    {
        int length = Channels * _window.SideX, rows = _down.High - _down.Low;
        byte[] narrow = ArrayPool<byte>.Shared.Rent(length * rows);
        try
        {
            for (int y = 0; y < rows; y++)
            {
                Across(pixels[(y * stride)..], narrow.AsSpan(y * length, length));
            }

            for (int y = 0; y < _window.SideY; y++)
            {
                Down(narrow.AsSpan((_down.First(y) - _down.Low) * length), _down.Weights(y), y, flip, planes);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(narrow);
        }
    }

    /// <summary>A row of pixels, resampled across.</summary>
    private void Across(ReadOnlySpan<byte> line, Span<byte> narrow)
    {
        ReadOnlySpan<uint> pixels = MemoryMarshal.Cast<byte, uint>(line);
        Span<uint> target = MemoryMarshal.Cast<byte, uint>(narrow);
        for (int x = 0; x < target.Length; x++)
        {
            ReadOnlySpan<int> weights = _across.Weights(x);
            ReadOnlySpan<uint> source = pixels.Slice(_across.First(x) - _across.Low, weights.Length);
            Vector128<int> sums = Vector128.Create(Half);
            for (int k = 0; k < weights.Length; k++)
            {
                sums += Vector128.WidenLower(Vector128.WidenLower(Vector128.CreateScalarUnsafe(source[k]).AsByte())).AsInt32() * weights[k];
            }

            target[x] = Bytes(sums, sums, sums, sums).AsUInt32().ToScalar();
        }
    }

    /// <summary>A row of the result, of rows that were resampled across.</summary>
    private void Down(ReadOnlySpan<byte> rows, ReadOnlySpan<int> weights, int y, bool flip, Span<byte> planes)
    {
        int side = _window.SideX, plane = side * _window.SideY, x = 0;
        Span<byte> target = planes[(side * y)..];
        for (; x + Group <= side; x += Group)
        {
            Vector128<byte> pixels = Sum(rows[(Channels * x)..], Channels * side, weights);
            // Red, green and blue of four pixels, in their order or the other one.
            Vector128<uint> channels = Vector128.Shuffle(pixels, flip
                ? Vector128.Create((byte)12, 8, 4, 0, 13, 9, 5, 1, 14, 10, 6, 2, 15, 11, 7, 3)
                : Vector128.Create((byte)0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)).AsUInt32();
            int at = flip ? side - Group - x : x;
            for (int c = 0; c < 3; c++)
            {
                MemoryMarshal.Write(target[((c * plane) + at)..], channels[c]);
            }
        }

        for (; x < side; x++)
        {
            for (int c = 0; c < 3; c++)
            {
                int sum = Half;
                for (int k = 0; k < weights.Length; k++)
                {
                    sum += weights[k] * rows[(Channels * ((k * side) + x)) + c];
                }

                target[(c * plane) + (flip ? side - 1 - x : x)] = (byte)Math.Min(sum >> Bits, byte.MaxValue);
            }
        }
    }

    /// <summary>Four pixels of some rows, weighted and rounded.</summary>
    private static Vector128<byte> Sum(ReadOnlySpan<byte> rows, int stride, ReadOnlySpan<int> weights)
    {
        Vector128<int> half = Vector128.Create(Half), a = half, b = half, c = half, d = half;
        for (int k = 0; k < weights.Length; k++)
        {
            (Vector128<ushort> low, Vector128<ushort> high) = Vector128.Widen(Vector128.Create(rows.Slice(k * stride, Channels * Group)));
            (Vector128<uint> first, Vector128<uint> second) = Vector128.Widen(low);
            (Vector128<uint> third, Vector128<uint> fourth) = Vector128.Widen(high);
            Vector128<int> weight = Vector128.Create(weights[k]);
            a += first.AsInt32() * weight;
            b += second.AsInt32() * weight;
            c += third.AsInt32() * weight;
            d += fourth.AsInt32() * weight;
        }

        return Bytes(a, b, c, d);
    }

    // Weights are not negative and sum up to about 2^Bits: sums have no sign, and few are above 255 by what weights were rounded.
    private static Vector128<byte> Bytes(Vector128<int> a, Vector128<int> b, Vector128<int> c, Vector128<int> d)
        => Vector128.Narrow(Vector128.Narrow(Rounded(a), Rounded(b)), Vector128.Narrow(Rounded(c), Rounded(d)));

    private static Vector128<uint> Rounded(Vector128<int> sums) => Vector128.Min(sums >> Bits, Vector128.Create(255)).AsUInt32();
}
