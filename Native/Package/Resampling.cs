namespace Imta.MetaWeight.Native;

/// <summary>
/// A window of a picture as <c>src/image.cpp</c> resamples it, to the same bytes: bilinear over a support that grows with the reduction, in
/// whole numbers, as Pillow and so torchvision's Resize has it.
/// </summary>
internal static class Resampling
{
    private const int Bits = 22; // of a weight behind the point
    private const int Half = 1 << (Bits - 1);

    /// <param name="pixels">Red, green, blue and what is not read, <c>[H, W, 4]</c>.</param>
    /// <param name="width">W.</param>
    /// <param name="window">It lies within the picture.</param>
    /// <param name="flip">Whether left and right change places.</param>
    /// <param name="planes">Takes <c>[3, SideY, SideX]</c>.</param>
    public static void Resample(ReadOnlySpan<byte> pixels, int width, PictureWindow window, bool flip, Span<byte> planes)
    {
        Taps down = Taps.Of(window.Height, window.Rows, window.Row, window.SideY);
        int from = down.First[0], to = down.First[^1] + down.Weights[^1].Length;
        byte[] narrow = Narrow(pixels, width, window, from, to);
        var sums = new int[3 * window.SideX];
        for (int y = 0; y < window.SideY; y++)
        {
            sums.AsSpan().Fill(Half);
            int at = sums.Length * (down.First[y] - from);
            foreach (int weight in down.Weights[y])
            {
                Add(sums, weight, narrow.AsSpan(at, sums.Length));
                at += sums.Length;
            }

            Spread(sums, window, y, flip, planes);
        }
    }

    /// <summary>The rows that the result takes, resampled across, <c>[to − from, SideX, 3]</c>.</summary>
    private static byte[] Narrow(ReadOnlySpan<byte> pixels, int width, PictureWindow window, int from, int to)
    {
        Taps across = Taps.Of(window.Width, window.Columns, window.Column, window.SideX);
        var narrow = new byte[3 * window.SideX * (to - from)];
        Span<byte> target = narrow;
        for (int y = from; y < to; y++)
        {
            ReadOnlySpan<byte> line = pixels.Slice(4 * ((width * (window.Top + y)) + window.Left), 4 * window.Width);
            for (int x = 0; x < window.SideX; x++, target = target[3..])
            {
                int[] weights = across.Weights[x];
                ReadOnlySpan<byte> source = line.Slice(4 * across.First[x], 4 * weights.Length);
                int red = Half, green = Half, blue = Half;
                for (int k = 0; k < weights.Length; k++)
                {
                    red += weights[k] * source[4 * k];
                    green += weights[k] * source[(4 * k) + 1];
                    blue += weights[k] * source[(4 * k) + 2];
                }

                (target[0], target[1], target[2]) = (Rounded(red), Rounded(green), Rounded(blue));
            }
        }

        return narrow;
    }

    private static void Add(Span<int> sums, int weight, ReadOnlySpan<byte> line)
    {
        for (int k = 0; k < sums.Length; k++)
        {
            sums[k] += weight * line[k];
        }
    }

    private static void Spread(ReadOnlySpan<int> sums, PictureWindow window, int y, bool flip, Span<byte> planes)
    {
        for (int c = 0; c < 3; c++)
        {
            Span<byte> row = planes.Slice(((c * window.SideY) + y) * window.SideX, window.SideX);
            for (int x = 0; x < row.Length; x++)
            {
                row[flip ? row.Length - 1 - x : x] = Rounded(sums[(3 * x) + c]);
            }
        }
    }

    // Weights sum up to 2^Bits, so 32 bits hold a sum of bytes.
    private static byte Rounded(int sum) => (byte)Math.Clamp(sum >> Bits, 0, 255);

    /// <summary>For each place of the result, from which input on it is summed, and the weights.</summary>
    private readonly record struct Taps(int[] First, int[][] Weights)
    {
        public static Taps Of(int input, int output, int start, int count)
        {
            var taps = new Taps(new int[count], new int[count][]);
            double scale = (double)input / output, support = Math.Max(scale, 1);
            for (int place = 0; place < count; place++)
            {
                double centre = (start + place + 0.5) * scale, sum = 0;
                int low = Math.Max((int)(centre - support + 0.5), 0), high = Math.Min((int)(centre + support + 0.5), input);
                var exact = new double[high - low];
                for (int k = 0; k < exact.Length; k++)
                {
                    exact[k] = Math.Max(0, 1 - Math.Abs((low + k - centre + 0.5) / support));
                    sum += exact[k];
                }

                taps.First[place] = low;
                taps.Weights[place] = Array.ConvertAll(exact, weight => (int)(0.5 + (weight / sum * (1 << Bits))));
            }

            return taps;
        }
    }
}
