using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary>A window of a picture pixel by pixel, as Pillow's documentation has it, without anything that makes it fast.</summary>
internal static class PlainResampling
{
    private const int Bits = 22; // of a weight after the point

    /// <param name="pixels"><c>[H, W, 3]</c>.</param>
    /// <param name="width">W.</param>
    /// <param name="w">Within the picture.</param>
    /// <param name="flip">Whether left and right change places.</param>
    /// <returns><c>[3, SideY, SideX]</c>.</returns>
    public static byte[] Of(byte[] pixels, int width, ImageWindow w, bool flip)
    {
        var planes = new byte[3 * w.SideY * w.SideX];
        var narrow = new byte[w.Height];
        for (int x = 0; x < w.SideX; x++)
        {
            (int column, int[] across) = Weights(w.Width, w.Columns, w.Column + x);
            for (int c = 0; c < 3; c++)
            {
                for (int y = 0; y < w.Height; y++)
                {
                    int start = (width * (w.Top + y)) + w.Left + column;
                    narrow[y] = Sum(across, k => pixels[(3 * (start + k)) + c]);
                }

                for (int y = 0; y < w.SideY; y++)
                {
                    (int row, int[] down) = Weights(w.Height, w.Rows, w.Row + y);
                    planes[(((c * w.SideY) + y) * w.SideX) + (flip ? w.SideX - 1 - x : x)] = Sum(down, k => narrow[row + k]);
                }
            }
        }

        return planes;
    }

    /// <summary>One that lies within a picture.</summary>
    public static ImageWindow AnyWindow(Random random, int width, int height)
    {
        (int top, int rowsOfPart) = AnyRange(random, height);
        (int left, int columnsOfPart) = AnyRange(random, width);
        (int rows, int columns) = (random.Next(1, 100), random.Next(1, 100));
        (int row, int sideY) = AnyRange(random, rows);
        (int column, int sideX) = AnyRange(random, columns);
        return new ImageWindow(top, left, rowsOfPart, columnsOfPart, rows, columns, row, column, sideY, sideX);
    }

    /// <summary>A part of a line, every third time a short one.</summary>
    public static (int Start, int Length) AnyRange(Random random, int size)
    {
        int length = 1 + random.Next(random.Next(3) == 0 ? Math.Min(size, 20) : size);
        return (random.Next(size - length + 1), length);
    }

    private static byte Sum(int[] weights, Func<int, byte> input)
    {
        long sum = 1 << (Bits - 1);
        for (int k = 0; k < weights.Length; k++)
        {
            sum += (long)weights[k] * input(k);
        }

        return (byte)Math.Clamp(sum >> Bits, 0, 255);
    }

    private static (int First, int[] Weights) Weights(int input, int output, int place)
    {
        double scale = (double)input / output, support = Math.Max(scale, 1), centre = (place + 0.5) * scale;
        int low = Math.Max((int)(centre - support + 0.5), 0), high = Math.Min((int)(centre + support + 0.5), input);
        double[] exact = [.. Enumerable.Range(low, high - low).Select(k => Math.Max(0, 1 - Math.Abs((k - centre + 0.5) / support)))];
        double sum = exact.Sum();
        return (low, [.. exact.Select(weight => (int)(0.5 + (weight / sum * (1 << Bits))))]);
    }
}
