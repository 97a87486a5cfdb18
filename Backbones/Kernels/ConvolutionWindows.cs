using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Images with adjacent channels (NHWC); each pixel starts <paramref name="Pixel"/> elements after the previous one, row after row.
/// </summary>
internal readonly unsafe record struct ImageSpan(nint Data, nint Pixel, long Count, long Channels, long Height, long Width)
{
    /// <summary>The address of a pixel.</summary>
    public T* At<T>(long image, long y, long x)
        where T : unmanaged
        => (T*)Data + (((((image * Height) + y) * Width) + x) * Pixel);
}

/// <summary>Images whose channels are those of one tensor, or of two, one after the other.</summary>
internal readonly record struct ImagePair(ImageSpan First, ImageSpan Second)
{
    public long Channels => First.Channels + Second.Channels;

    public long Count => First.Count;

    /// <summary>Whether there is one tensor.</summary>
    public bool IsOne => Second.Channels == 0;
}

/// <summary>A regular grid of windows on each image. They may extend beyond its edges, where values are zero.</summary>
/// <param name="Down">Windows from top to bottom.</param>
/// <param name="Across">Windows from left to right.</param>
/// <param name="Step">The vertical stride, in rows.</param>
/// <param name="StepAcross">The horizontal stride, in columns.</param>
/// <param name="Top">The first row of the topmost window.</param>
/// <param name="Left">The first column of the leftmost window.</param>
/// <param name="Height">Rows of a window.</param>
/// <param name="Width">Columns of a window.</param>
internal readonly record struct ConvolutionWindows(
    long Down, long Across, long Step, long StepAcross, long Top, long Left, long Height, long Width)
{
    /// <summary>The number of convolution windows that fit into a number of rows or columns.</summary>
    public static long Count(long size, long kernel, long stride, long padding) => ((size + (2 * padding) - kernel) / stride) + 1;

    /// <summary>The number of columns covered by a row of windows.</summary>
    public long Reach => ((Across - 1) * StepAcross) + Width;

    /// <summary>The number of rows covered by a number of vertically adjacent windows.</summary>
    public long ReachOf(long down) => ((down - 1) * Step) + Height;

    /// <summary>Whether each window is a single pixel of the image.</summary>
    public bool ArePixels(in ImageSpan images)
        => (Step, StepAcross, Top, Left, Height, Width) == (1, 1, 0, 0, 1, 1) && (Down, Across) == (images.Height, images.Width);
}

/// <summary>The content of some windows, zero-padded: the images themselves, or a copy of the required region.</summary>
/// <param name="Data">The address of the first window's first element.</param>
/// <param name="Pixel">The pixel stride, in elements.</param>
/// <param name="Row">The row stride.</param>
/// <param name="Image">The image stride.</param>
internal readonly unsafe record struct Plane(nint Data, nint Pixel, nint Row, nint Image)
{
    private const nint Line = 64; // bytes per cache line
    private const long Slack = 64; // elements that a tile may read past the end without using them

    /// <summary>The number of elements in a copy.</summary>
    public static long Size(in ConvolutionWindows windows, long channels, long images, long down)
        => (((images * windows.ReachOf(down) * windows.Reach) + (RegisterTiles<float>.RowUnit * windows.StepAcross)) * channels) + Slack;

    /// <summary>The images in place, for single-pixel windows.</summary>
    public static Plane On<T>(in ImageSpan x, long image, long row)
        where T : unmanaged
        => new((nint)x.At<T>(image, row, 0), x.Pixel, (nint)x.Width * x.Pixel, (nint)(x.Height * x.Width) * x.Pixel);

    /// <summary>A copy for <paramref name="down"/> rows of windows, starting with <paramref name="first"/>.</summary>
    public static Plane Copy<T>(
        in ImagePair pair, in ConvolutionWindows windows, (long First, long Count) images, long first, long down, T* target)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        long rows = windows.ReachOf(down), columns = windows.Reach, top = (first * windows.Step) + windows.Top;
        ImageSpan x = pair.First;
        nint channels = (nint)pair.Channels, row = (nint)columns * channels;
        long left = Math.Clamp(-windows.Left, 0, columns); // the copy's columns left … right − 1 are in the image
        long right = Math.Clamp(x.Width - windows.Left, left, columns);
        T* to = target;
        for (long image = images.First; image < images.First + images.Count; image++)
        {
            for (long y = top; y < top + rows; y++, to += row)
            {
                if (y < 0 || y >= x.Height || left == right)
                {
                    Clear(to, row);
                    continue;
                }

                Clear(to, (nint)left * channels);
                T* inside = to + ((nint)left * channels);
                CopyPixels(x.At<T>(image, y, windows.Left + left), x.Pixel, inside, channels, (nint)x.Channels, right - left);
                if (!pair.IsOne)
                {
                    ImageSpan other = pair.Second;
                    T* from = other.At<T>(image, y, windows.Left + left);
                    CopyPixels(from, other.Pixel, inside + x.Channels, channels, (nint)other.Channels, right - left);
                }

                Clear(to + ((nint)right * channels), (nint)(columns - right) * channels);
            }
        }

        return new((nint)target, channels, row, (nint)rows * row);
    }

    /// <summary>Copies pixels from one stride to another.</summary>
    private static void CopyPixels<T>(T* from, nint pixel, T* to, nint targetPixel, nint channels, long count)
        where T : unmanaged, IBinaryFloatingPointIeee754<T>
    {
        if (pixel == channels && targetPixel == channels)
        {
            NativeMemory.Copy(from, to, (nuint)((nint)count * channels * sizeof(T)));
            return;
        }

        for (; count > 0; count--, from += pixel, to += targetPixel)
        {
            RegisterTiles<T>.Copy(from, to, channels);
        }
    }

    /// <summary>
    /// Prefetches pixels that are read later; addresses past the end of the memory are harmless.
    /// </summary>
    public static void Fetch<T>(T* from, nint pixel, nint channels, long count)
        where T : unmanaged
    {
        if (Sse.IsSupported)
        {
            for (; count > 0; count--, from += pixel)
            {
                for (nint offset = 0; offset < channels * sizeof(T); offset += Line)
                {
                    Sse.Prefetch0((byte*)from + offset);
                }
            }
        }
    }

    private static void Clear<T>(T* target, nint count)
        where T : unmanaged
        => NativeMemory.Clear(target, (nuint)(count * sizeof(T)));
}
