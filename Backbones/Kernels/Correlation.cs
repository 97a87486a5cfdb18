using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Windows of one image times weights: pixels of another. A convolution is one part; its gradient by the input one for each row, and
/// sometimes each column, of a stride's square. A window may give several pixels side by side, so that few channels fill a vector.
/// </summary>
internal struct CorrelationPart
{
    public Windows Windows;

    /// <summary>Pixels that a window gives, and the distances between what neighbouring windows give, in rows and columns.</summary>
    public long Pixels, Down, Across;

    /// <summary>The row and column of the first pixel.</summary>
    public long Top, Left;

    /// <summary>The kernel's row that a window's first row belongs to, and from a row to the next.</summary>
    public long Row, RowStep;

    /// <summary>
    /// Its column that the first column belongs to for the first pixel; from a column and from a pixel to the next. None may: the weight
    /// is 0.
    /// </summary>
    public long Column, ColumnStep, PixelStep;
}

/// <summary>All parts, over all images.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CorrelationJob
{
    public Chunks Chunks; // first: see Chunks.Run
    public ImagePair X, Y;
    public CorrelationPart* Parts;
    public long PartCount;

    /// <summary>Weights, and the distances to the next output, channel and row or column of the kernel; and a bias or null.</summary>
    public void* Weights, Bias;

    public long OfOutput, OfChannel, Kernel;

    /// <summary>Whether max(0, y) is written, or what is there is added to.</summary>
    public bool Rectifies, Adds;

    /// <summary>The parts' weights as tiles read them, and how many elements a part has at most.</summary>
    public void* Panels;

    public long PanelSize;

    /// <summary>How images are cut: some together, or each in bands of rows.</summary>
    public long ImagesTogether, Bands;
}

/// <summary>Products of windows and weights, for convolutions and their gradients by the input.</summary>
internal static unsafe partial class Correlation<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    private const long PixelsTogether = 128; // that the weights in the caches serve one after the other
    private const long EnoughChunks = 16; // for the threads; fewer images are cut into bands

    /// <summary>Vectors of so many outputs.</summary>
    public static long Vectors(long outputs) => (outputs + RegisterTiles<T>.Width - 1) / RegisterTiles<T>.Width;

    /// <summary>Computes all parts of a job whose images, parts and weights are set.</summary>
    public static void Run(CorrelationJob* job)
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
            Windows windows = job->Parts[p].Windows;
            copy = Math.Max(copy, Plane.Size(windows, job->X.Channels, job->ImagesTogether, (windows.Down + job->Bands - 1) / job->Bands));
        }

        job->Panels = TensorMemory.Rent((nint)(job->PartCount * job->PanelSize) * sizeof(T));
        try
        {
            job->Chunks = new(job->PartCount * vectors, &Pack, workBytes: 0);
            Chunks.Run((Chunks*)job);
            long groups = (job->X.Count + job->ImagesTogether - 1) / job->ImagesTogether;
            job->Chunks = new(groups * job->Bands, &Band, (nint)(RegisterTiles<T>.MostElements + copy) * sizeof(T));
            Chunks.Run((Chunks*)job);
        }
        finally
        {
            TensorMemory.Return(job->Panels);
        }
    }

    private static long Terms(CorrelationJob* job, in CorrelationPart part) => part.Windows.Height * part.Windows.Width * job->X.Channels;

    private static long Outputs(CorrelationJob* job, in CorrelationPart part) => part.Pixels * job->Y.Channels;

    /// <summary>
    /// Lays the weights of one vector of outputs, and their bias before them, where tiles read them: the vectors of a tile side by side,
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

    /// <summary>Lays the weights of one of a window's pixels for a vector of outputs: a row for each channel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void PackPixel(CorrelationJob* job, in CorrelationPart part, long y, long x, long output, T* target, nint row)
    {
        int width = RegisterTiles<T>.Width;
        nint ofChannel = (nint)job->OfChannel, ofOutput = (nint)job->OfOutput, channels = (nint)job->X.Channels;
        long down = part.Row + (y * part.RowStep), pixel = output / job->Y.Channels, channel = output % job->Y.Channels;
        for (nint lane = 0; lane < width;)
        {
            // As many lanes as are outputs of one pixel.
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
