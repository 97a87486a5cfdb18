using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// A convolution's weight gradient: the sum over all windows of their content times the output's gradient.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct WeightGradientJob
{
    public Chunks Chunks; // must be first: see Chunks.Run
    public ConvolutionWindows Windows;

    /// <summary>The convolution's input, and the gradient with respect to its output, one pixel per window.</summary>
    public ImageSpan X;

    public ImagePair GradOutput;

    /// <summary>The result <c>[O, I, K, K]</c>, contiguous.</summary>
    public void* Gradient;

    /// <summary>
    /// Each chunk's sums. A row of a window is a run of columns and channels: either its elements are the sums' columns and the outputs
    /// their rows, or vice versa, whichever fills vectors better.
    /// </summary>
    public void* Sums;

    public bool OutputsAreRows;
    public long ChunkCount, RowsOfSums, ColumnsOfSums;

    /// <summary>A piece is what a tile sums at once: some rows of windows of some images.</summary>
    public long PieceImages, PieceDown;

    public readonly long Run => Windows.Width * X.Channels;

    public readonly long SizeOfSums => RowsOfSums * ColumnsOfSums;
}

/// <summary>
/// The sums of <see cref="WeightGradientJob"/>. The partition depends only on shapes and element type, and partial sums are added in order.
/// </summary>
internal static unsafe class WeightGradient<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    private const long PieceBytes = 1 << 17; // of window content: a fraction of the L2 cache
    private const long PiecePixels = 512; // to amortise loading a tile's sums
    private const long MaxChunks = 32, MinChunks = 8, SumsBytes = 1 << 21; // for all chunks, unless they are few
    private const long CollectChunks = 16;

    /// <summary>Computes the gradient of a job whose images, windows and result are set.</summary>
    public static void Run(WeightGradientJob* job)
    {
        ConvolutionWindows windows = job->Windows;
        long images = job->X.Count, channels = job->X.Channels, outputs = job->GradOutput.Channels;
        int width = RegisterTiles<T>.Width, least = RegisterTiles<T>.RowUnit;
        long down = windows.Height;
        job->OutputsAreRows = Up(outputs, least / 2) * Up(job->Run, width) < Up(job->Run, least / 2) * Up(outputs, width);
        (job->RowsOfSums, job->ColumnsOfSums) = job->OutputsAreRows
            ? (Up(outputs, least), down * Up(job->Run, width))
            : (down * Up(job->Run, least), Up(outputs, width));
        long perRow = windows.Step * windows.Reach * channels * sizeof(T), pixels = windows.Down * windows.Across;
        long bands = Count(windows.Down, Math.Clamp(PieceBytes / perRow, 1, windows.Down));
        job->PieceDown = Count(windows.Down, bands);
        long fitting = Math.Min(PiecePixels / pixels, PieceBytes / (perRow * windows.Down));
        job->PieceImages = job->PieceDown < windows.Down ? 1 : Math.Clamp(fitting, 1, images);
        long ofAChunk = outputs * job->Run * windows.Height * sizeof(T); // without vector padding, since the vector width must not matter
        job->ChunkCount = Math.Min(Pieces(job), Math.Clamp(SumsBytes / ofAChunk, MinChunks, MaxChunks));
        long seen = Plane.Size(windows, channels, job->PieceImages, job->PieceDown);
        long given = ((pixels * job->PieceImages) + least) * outputs;
        job->Sums = TensorMemory.Rent((nint)(job->ChunkCount * job->SizeOfSums) * sizeof(T));
        try
        {
            job->Chunks = new(job->ChunkCount, &Sum, (nint)(seen + given + (3 * width)) * sizeof(T));
            Chunks.Run((Chunks*)job);
            job->Chunks = new(CollectChunks, &Collect, workBytes: 0);
            Chunks.Run((Chunks*)job);
        }
        finally
        {
            TensorMemory.Return(job->Sums);
        }
    }

    private static long Count(long count, long unit) => (count + unit - 1) / unit;

    private static long Up(long count, long unit) => Count(count, unit) * unit;

    private static long Bands(WeightGradientJob* job) => Count(job->Windows.Down, job->PieceDown);

    private static long Pieces(WeightGradientJob* job) => Count(job->X.Count, job->PieceImages) * Bands(job);

    private static void Sum(void* context, long chunk, void* work)
    {
        var job = (WeightGradientJob*)context;
        T* sums = (T*)job->Sums + (chunk * job->SizeOfSums);
        NativeMemory.Clear(sums, (nuint)(job->SizeOfSums * sizeof(T)));
        long pieces = Pieces(job), bands = Bands(job), end = (chunk + 1) * pieces / job->ChunkCount;
        for (long piece = chunk * pieces / job->ChunkCount; piece < end; piece++)
        {
            (long image, long first) = (piece / bands * job->PieceImages, piece % bands * job->PieceDown);
            long images = Math.Min(job->PieceImages, job->X.Count - image), down = Math.Min(job->PieceDown, job->Windows.Down - first);
            AddPiece(job, (image, images), first, down, sums, (T*)work);
        }
    }

    /// <summary>Whether a tile may read the vector that begins in the last of some pixels, given how many come after.</summary>
    private static bool CanReadPast(in ImageSpan images, long after)
        => after * images.Pixel >= RegisterTiles<T>.Width + RegisterTiles<T>.RowUnit;

    private static void AddPiece(WeightGradientJob* job, (long First, long Count) images, long first, long down, T* sums, T* work)
    {
        ConvolutionWindows windows = job->Windows;
        ImagePair byOutput = job->GradOutput;
        long windowsOfAll = job->X.Count * windows.Down * windows.Across;
        long after = windowsOfAll - ((((images.First + images.Count - 1) * windows.Down) + first + down) * windows.Across);
        Plane seen = windows.ArePixels(job->X) && CanReadPast(job->X, after)
            ? Plane.On<T>(job->X, images.First, first)
            : Plane.Copy(new(job->X, default), windows, images, first, down, work);
        ConvolutionWindows pixels = new(byOutput.First.Height, byOutput.First.Width, 1, 1, 0, 0, 1, 1);
        T* ofGiven = work + Plane.Size(windows, job->X.Channels, job->PieceImages, job->PieceDown);
        Plane given = byOutput.IsOne && CanReadPast(byOutput.First, after)
            ? Plane.On<T>(byOutput.First, images.First, first)
            : Plane.Copy(byOutput, pixels, images, first, down, ofGiven);
        for (long y = 0; y < windows.Height; y++)
        {
            Plane shifted = seen with
            {
                Data = (nint)((T*)seen.Data + (y * seen.Row)),
                Pixel = seen.Pixel * (nint)windows.StepAcross,
                Row = seen.Row * (nint)windows.Step,
            };
            if (job->OutputsAreRows)
            {
                T* ofRow = sums + (y * Up(job->Run, RegisterTiles<T>.Width));
                Multiply(job, given, byOutput.Channels, shifted, job->Run, ofRow, images.Count, down);
            }
            else
            {
                T* ofRow = sums + (y * Up(job->Run, RegisterTiles<T>.RowUnit) * job->ColumnsOfSums);
                Multiply(job, shifted, job->Run, given, byOutput.Channels, ofRow, images.Count, down);
            }
        }
    }

    /// <summary>Accumulates the sums over all pixels for each pair of an element of a (row) and of b (column).</summary>
    private static void Multiply(WeightGradientJob* job, in Plane a, long rows, in Plane b, long columns, T* sums, long images, long down)
    {
        nint stride = (nint)job->ColumnsOfSums, width = RegisterTiles<T>.Width;
        nint across = (nint)job->Windows.Across;
        bool isRun = a.Row == across * a.Pixel && b.Row == across * b.Pixel; // both are contiguous across rows
        var product = new Product<T> { ARow = 1, Groups = (nint)images };
        (product.Segments, product.Length) = isRun ? (1, (nint)down * across) : ((nint)down, across);
        (product.AStep, product.ASegment, product.AGroup) = (a.Pixel, a.Row, a.Image);
        (product.BStep, product.BSegment, product.BGroup) = (b.Pixel, b.Row, b.Image);
        (product.InitialRow, product.CRow) = (stride, stride);
        nint column = 0;
        for (long left = Up(columns, width) / width; left > 0;)
        {
            int vectors = RegisterTiles<T>.Take(left), tile;
            product.B = (T*)b.Data + column;
            for (nint row = 0; row < rows; row += tile)
            {
                tile = RegisterTiles<T>.Rows(vectors, rows - row);
                product.AHalf = tile / 2;
                product.A = (T*)a.Data + row;
                product.Initial = product.C = sums + (row * stride) + column;
                product.InitialHalf = product.CHalf = product.C + (product.AHalf * stride);
                RegisterTiles<T>.Run(vectors, tile, &product);
            }

            column += vectors * width;
            left -= vectors;
        }
    }

    /// <summary>Adds the sums of all chunks for some rows, and writes them to the result.</summary>
    private static void Collect(void* context, long chunk, void* work)
    {
        var job = (WeightGradientJob*)context;
        long begin = chunk * job->RowsOfSums / CollectChunks, end = (chunk + 1) * job->RowsOfSums / CollectChunks;
        T* sums = (T*)job->Sums + (begin * job->ColumnsOfSums);
        for (long other = 1; other < job->ChunkCount; other++)
        {
            var runs = new Runs<T> { Z = sums, Change = sums + (other * job->SizeOfSums), Target = sums };
            Sweep.Over<T, AddStep<T>>((nint)((end - begin) * job->ColumnsOfSums), &runs);
        }

        long outputs = job->GradOutput.Channels;
        long padded = Up(job->Run, job->OutputsAreRows ? RegisterTiles<T>.Width : RegisterTiles<T>.RowUnit);
        for (long row = begin; row < end; row++, sums += job->ColumnsOfSums)
        {
            if (!job->OutputsAreRows)
            {
                Scatter(job, row / padded, row % padded, sums, 0, outputs);
            }
            else if (row < outputs)
            {
                for (long y = 0; y < job->Windows.Height; y++)
                {
                    for (long element = 0; element < job->Run; element++)
                    {
                        Scatter(job, y, element, sums + (y * padded) + element, row, 1);
                    }
                }
            }
        }
    }

    /// <summary>Writes the sums of one element of row y of the windows to the result, for some outputs.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Scatter(WeightGradientJob* job, long y, long element, T* sums, long output, long count)
    {
        if (element >= job->Run)
        {
            return;
        }

        long channels = job->X.Channels, window = job->Windows.Height * job->Windows.Width;
        long inWindow = (y * job->Windows.Width) + (element / channels);
        T* target = (T*)job->Gradient + (((output * channels) + (element % channels)) * window) + inWindow;
        for (long o = 0; o < count; o++, target += channels * window, sums++)
        {
            *target = *sums;
        }
    }
}
