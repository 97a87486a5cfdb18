using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Windows of one image times weights give pixels of another. A convolution has one part; its gradient with respect to the input has one
/// for each row, or each pixel, of a stride × stride square. A window may give several adjacent pixels, so that even few channels fill a
/// vector.
/// </summary>
internal struct CorrelationPart
{
    public ConvolutionWindows Windows;

    /// <summary>Pixels per window, and the distances between the outputs of neighbouring windows, in rows and columns.</summary>
    public long Pixels, Down, Across;

    /// <summary>The row and column of the first pixel.</summary>
    public long Top, Left;

    /// <summary>The kernel row for a window's first row, and the increment per row.</summary>
    public long Row, RowStep;

    /// <summary>
    /// The kernel column for the first column and first pixel, and the increments per column and per pixel. Outside the
    /// kernel, the weight is 0.
    /// </summary>
    public long Column, ColumnStep, PixelStep;
}

/// <summary>All parts, over all images.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CorrelationJob
{
    public Chunks Chunks; // must be first: see Chunks.Run
    public ImagePair X, Y;
    public CorrelationPart* Parts;
    public long PartCount;

    /// <summary>Weights, with their strides per output and per channel, and the kernel size; and a bias or null.</summary>
    public void* Weights, Bias;

    public long OfOutput, OfChannel, Kernel;

    /// <summary>Whether max(0, y) is written, and whether y is added to the existing values.</summary>
    public bool Rectifies, Accumulates;

    /// <summary>The parts' weights packed for tiles, and the maximum number of elements per part.</summary>
    public void* Panels;

    public long PanelSize;

    /// <summary>How images are split: several together, or each into bands of rows.</summary>
    public long ImagesTogether, Bands;
}

/// <summary>Products of windows and weights, for convolutions and their gradients with respect to the input.</summary>
internal static unsafe partial class Correlation<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    private const long PixelsTogether = 128; // processed with the weights in cache
    private const long EnoughChunks = 16; // for the threads; fewer images are split into bands

    /// <summary>The number of vectors for a number of outputs.</summary>
    public static long Vectors(long outputs) => (outputs + RegisterTiles<T>.Width - 1) / RegisterTiles<T>.Width;

    /// <summary>Computes all parts of a job whose images, parts and weights are set.</summary>
    /// <param name="job">The job.</param>
    /// <param name="kept">For a job of one part: where its packed weights are kept, or already are; null: nowhere.</param>
    public static void Run(CorrelationJob* job, PackedWeights? kept = null)
    {
        long copy = 0, pixels = 1, vectors = 0;
        job->ImagesTogether = job->Bands = 1;
        for (long p = 0; p < job->PartCount; p++)
        {
            CorrelationPart part = job->Parts[p];
            pixels = Math.Max(pixels, part.Windows.Down * part.Windows.Across);
            vectors = Math.Max(vectors, Vectors(Outputs(job, part)));
            job->PanelSize = Math.Max(job->PanelSize, Vectors(Outputs(job, part)) * RegisterTiles<T>.Width * (1 + Terms(job, part)));
        }

        job->ImagesTogether = Math.Clamp(PixelsTogether / pixels, 1, Math.Max(1, job->X.Count / EnoughChunks));
        job->Bands = Math.Max(1, EnoughChunks / job->X.Count);
        for (long p = 0; p < job->PartCount; p++)
        {
            ConvolutionWindows windows = job->Parts[p].Windows;
            copy = Math.Max(copy, Plane.Size(windows, job->X.Channels, job->ImagesTogether, (windows.Down + job->Bands - 1) / job->Bands));
        }

        nint bytes = (nint)(job->PartCount * job->PanelSize) * sizeof(T);
        job->Panels = kept is null ? TensorMemory.Rent(bytes) : kept.For(job->Parts->Pixels, bytes);
        try
        {
            if (kept is not { ArePacked: true })
            {
                job->Chunks = new(job->PartCount * vectors, &Pack, workBytes: 0);
                Chunks.Run((Chunks*)job);
                kept?.ArePacked = true;
            }

            long groups = (job->X.Count + job->ImagesTogether - 1) / job->ImagesTogether;
            job->Chunks = new(groups * job->Bands, &Band, (nint)(RegisterTiles<T>.MaxElements + copy) * sizeof(T));
            Chunks.Run((Chunks*)job);
        }
        finally
        {
            if (kept is null)
            {
                TensorMemory.Return(job->Panels);
            }
        }
    }

    private static long Terms(CorrelationJob* job, in CorrelationPart part) => part.Windows.Height * part.Windows.Width * job->X.Channels;

    private static long Outputs(CorrelationJob* job, in CorrelationPart part) => part.Pixels * job->Y.Channels;

    /// <summary>
    /// Packs the weights of one vector of outputs, preceded by their bias, for tiles: the vectors of a tile side by side,
    /// term after term.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Pack(void* context, long chunk, void* work)
    {
        var job = (CorrelationJob*)context;
        CorrelationPart part = job->Parts[chunk % job->PartCount];
        long vector = chunk / job->PartCount, outputs = Outputs(job, part), vectors = Vectors(outputs), panel = 0;
        if (vector >= vectors)
        {
            return;
        }

        int width = RegisterTiles<T>.Width, taken = RegisterTiles<T>.Take(vectors);
        while (panel + taken <= vector)
        {
            panel += taken;
            taken = RegisterTiles<T>.Take(vectors - panel);
        }

        nint row = taken * width;
        T* ofPart = (T*)job->Panels + (chunk % job->PartCount * job->PanelSize);
        T* target = ofPart + (panel * width * (1 + Terms(job, part))) + ((vector - panel) * width);
        for (nint lane = 0; lane < width; lane++)
        {
            long output = (vector * width) + lane;
            target[lane] = output < outputs && job->Bias != null ? ((T*)job->Bias)[output % job->Y.Channels] : T.Zero;
        }

        for (long y = 0; y < part.Windows.Height; y++)
        {
            for (long x = 0; x < part.Windows.Width; x++)
            {
                PackPixel(job, part, y, x, vector * width, target + row, row);
                target += row * (nint)job->X.Channels;
            }
        }
    }

    /// <summary>Packs the weights of one pixel of a window for a vector of outputs: one row per channel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackPixel(CorrelationJob* job, in CorrelationPart part, long y, long x, long output, T* target, nint row)
    {
        int width = RegisterTiles<T>.Width;
        nint ofChannel = (nint)job->OfChannel, ofOutput = (nint)job->OfOutput, channels = (nint)job->X.Channels;
        long down = part.Row + (y * part.RowStep), pixel = output / job->Y.Channels, channel = output % job->Y.Channels;
        for (nint lane = 0; lane < width;)
        {
            // One lane per output of a pixel.
            nint count = (nint)Math.Min(width - lane, job->Y.Channels - channel);
            long across = part.Column + (pixel * part.PixelStep) + (x * part.ColumnStep);
            bool isThere = pixel < part.Pixels && across >= 0 && across < job->Kernel;
            T* source = (T*)job->Weights + (channel * ofOutput) + (down * job->Kernel) + across, to = target + lane;
            for (nint c = 0; c < channels; c++, source += ofChannel, to += row)
            {
                for (nint l = 0; l < count; l++)
                {
                    to[l] = isThere ? source[l * ofOutput] : T.Zero;
                }
            }

            lane += count;
            (pixel, channel) = (pixel + 1, 0);
        }
    }
}
