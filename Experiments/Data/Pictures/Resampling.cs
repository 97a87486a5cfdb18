using System.Buffers;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using SkiaSharp;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>
/// Resamples a window of an image in integer arithmetic like Pillow, and thus torchvision's Resize: bilinear with a support that grows
/// with the downscaling factor (antialiasing).
/// </summary>
internal sealed class Resampling
{
    private const int Channels = 4; // of a pixel; the last one is not read
    private const int Bits = ResamplingTaps.Bits;
    private const int Half = 1 << (Bits - 1);
    private const int Pair = 2 * Channels; // accumulators updated by two inputs at once
    private const int Group = 8; // pixels whose channels fill a vector of bytes
    private const int Lines = 4; // rows resampled together, with the same weights

    private readonly ImageWindow _window;
    private readonly ResamplingTaps _across, _down;
    private readonly int[] _weightsAcross; // per output position, the input weights, replicated per channel, in pairs

    /// <param name="window">A window within the image.</param>
    public Resampling(ImageWindow window)
    {
        _window = window;
        _across = new ResamplingTaps(window.Width, window.Columns, window.Column, window.SideX);
        _down = new ResamplingTaps(window.Height, window.Rows, window.Row, window.SideY);
        _weightsAcross = _across.ForAll(Channels, multiple: Pair);
        Needed = new SKRectI(window.Left + _across.Low, window.Top + _down.Low, window.Left + _across.High, window.Top + _down.High);
    }

    /// <summary>The region of the image that is read.</summary>
    public SKRectI Needed { get; }

    /// <param name="pixels">Red, green, blue and an ignored byte per pixel of <see cref="Needed"/>, starting at its first pixel.</param>
    /// <param name="stride">Bytes from row to row.</param>
    /// <param name="flip">Whether to flip horizontally.</param>
    /// <param name="planes">Receives <c>[3, SideY, SideX]</c>.</param>
    public void Run(ReadOnlySpan<byte> pixels, int stride, bool flip, Span<byte> planes)
    {
        int length = Channels * _window.SideX, rows = _down.High - _down.Low, width = Channels * (_across.High - _across.Low);
        byte[] narrow = ArrayPool<byte>.Shared.Rent(length * (rows + Lines - 1)); // data after the last row is ignored
        // Each line has one extra input with weight zero, which pairs with the last one.
        int[] lines = ArrayPool<int>.Shared.Rent(Lines * (width + Channels));
        try
        {
            for (int y = 0; y < rows; y++)
            {
                Widen(pixels.Slice(y * stride, width), lines.AsSpan(y % Lines * (width + Channels)));
                if (y % Lines == Lines - 1 || y == rows - 1)
                {
                    int first = y - (y % Lines);
                    Across(lines, width + Channels, flip, MemoryMarshal.Cast<byte, uint>(narrow.AsSpan(first * length, Lines * length)));
                }
            }

            for (int y = 0; y < _window.SideY; y++)
            {
                Down(narrow.AsSpan((_down.First(y) - _down.Low) * length), _down.Weights(y), planes[(y * _window.SideX)..]);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(narrow);
            ArrayPool<int>.Shared.Return(lines);
        }
    }

    private static void Widen(ReadOnlySpan<byte> bytes, Span<int> numbers)
    {
        int at = 0;
        for (; at + Vector128<byte>.Count <= bytes.Length; at += Vector128<byte>.Count)
        {
            (Vector128<ushort> low, Vector128<ushort> high) = Vector128.Widen(Vector128.Create(bytes[at..]));
            Span<int> target = numbers.Slice(at, Vector128<byte>.Count);
            Vector128.WidenLower(low).AsInt32().CopyTo(target);
            Vector128.WidenUpper(low).AsInt32().CopyTo(target[4..]);
            Vector128.WidenLower(high).AsInt32().CopyTo(target[8..]);
            Vector128.WidenUpper(high).AsInt32().CopyTo(target[12..]);
        }

        for (; at < bytes.Length; at++)
        {
            numbers[at] = bytes[at];
        }
    }

    /// <summary>Resamples rows horizontally.</summary>
    private void Across(ReadOnlySpan<int> lines, int stride, bool flip, Span<uint> narrow)
    {
        int side = _window.SideX, count = _weightsAcross.Length / side;
        for (int x = 0; x < side; x++)
        {
            ReadOnlySpan<Vector256<int>> weights = MemoryMarshal.Cast<int, Vector256<int>>(_weightsAcross.AsSpan(x * count, count));
            int start = Channels * (_across.First(x) - _across.Low);
            ReadOnlySpan<Vector256<int>> first = Inputs(lines, start, count), second = Inputs(lines, stride + start, count);
            ReadOnlySpan<Vector256<int>> third = Inputs(lines, (2 * stride) + start, count);
            ReadOnlySpan<Vector256<int>> fourth = Inputs(lines, (3 * stride) + start, count);
            Vector256<int> a = Vector256<int>.Zero, b = a, c = a, d = a;
            for (int k = 0; k < weights.Length && k < first.Length && k < second.Length && k < third.Length && k < fourth.Length; k++)
            {
                a += first[k] * weights[k];
                b += second[k] * weights[k];
                c += third[k] * weights[k];
                d += fourth[k] * weights[k];
            }

            Vector128<uint> pixels = Vector128.Narrow(Vector128.Narrow(Pixel(a), Pixel(b)), Vector128.Narrow(Pixel(c), Pixel(d)))
                .AsUInt32();
            int at = flip ? side - 1 - x : x;
            (narrow[at], narrow[side + at], narrow[(2 * side) + at], narrow[(3 * side) + at])
                = (pixels[0], pixels[1], pixels[2], pixels[3]);
        }

        static ReadOnlySpan<Vector256<int>> Inputs(ReadOnlySpan<int> lines, int start, int count)
            => MemoryMarshal.Cast<int, Vector256<int>>(lines.Slice(start, count));
        static Vector128<uint> Pixel(Vector256<int> sums) => Rounded(sums.GetLower() + sums.GetUpper() + Vector128.Create(Half));
    }

    /// <summary>Computes an output row from horizontally resampled rows.</summary>
    private void Down(ReadOnlySpan<byte> rows, ReadOnlySpan<int> weights, Span<byte> target)
    {
        int side = _window.SideX, plane = side * _window.SideY, x = 0;
        for (; x + Group <= side; x += Group)
        {
            Vector256<byte> pixels = Sum(rows[(Channels * x)..], Channels * side, weights);
            for (int half = 0; half < 2; half++)
            {
                // Red, green and blue of four pixels.
                Vector128<byte> four = half == 0 ? pixels.GetLower() : pixels.GetUpper();
                Vector128<uint> channels = Vector128.Shuffle(
                    four, Vector128.Create((byte)0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15))
                    .AsUInt32();
                int at = x + (half * Group / 2);
                MemoryMarshal.Write(target[at..], channels[0]);
                MemoryMarshal.Write(target[(plane + at)..], channels[1]);
                MemoryMarshal.Write(target[((2 * plane) + at)..], channels[2]);
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

                target[(c * plane) + x] = (byte)Math.Min(sum >> Bits, byte.MaxValue);
            }
        }
    }

    /// <summary>The weighted and rounded sum of rows, for eight pixels.</summary>
    private static Vector256<byte> Sum(ReadOnlySpan<byte> rows, int stride, ReadOnlySpan<int> weights)
    {
        Vector256<int> half = Vector256.Create(Half), a = half, b = half, c = half, d = half;
        for (int k = 0; k < weights.Length; k++)
        {
            (Vector256<ushort> low, Vector256<ushort> high) = Vector256.Widen(Vector256.Create(rows.Slice(k * stride, Channels * Group)));
            Vector256<int> weight = Vector256.Create(weights[k]);
            a += Vector256.WidenLower(low).AsInt32() * weight;
            b += Vector256.WidenUpper(low).AsInt32() * weight;
            c += Vector256.WidenLower(high).AsInt32() * weight;
            d += Vector256.WidenUpper(high).AsInt32() * weight;
        }

        return Vector256.Narrow(Vector256.Narrow(Rounded(a), Rounded(b)), Vector256.Narrow(Rounded(c), Rounded(d)));
    }

    // Weights are non-negative and sum to about 2^Bits: results are unsigned, and may exceed 255 only by weight rounding.
    private static Vector256<uint> Rounded(Vector256<int> sums) => Vector256.Min(sums >> Bits, Vector256.Create(255)).AsUInt32();

    private static Vector128<uint> Rounded(Vector128<int> sums) => Vector128.Min(sums >> Bits, Vector128.Create(255)).AsUInt32();
}
