using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Windows of one image times weights: pixels of another, at a distance of <see cref="OutputStep"/> from <see cref="Top"/> and
/// <see cref="Left"/> on. A convolution is one; its gradient by the input one for each pixel of a stride's square.
/// </summary>
internal unsafe struct CorrelationPart
{
    public Windows Windows;
    public long OutputStep, Top, Left;

    /// <summary>Weights as tiles read them (<see cref="Panels"/>).</summary>
    public void* Panels;

    /// <summary>The weights' elements: where the window's first one lies, and the distances to the next output, channel, row and column.</summary>
    public long First, OfOutput, OfChannel, OfRow, OfColumn;
}

/// <summary>All parts, over all images.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CorrelationJob
{
    public Chunks Chunks; // first: see Chunks.Run
    public Images X, Y;
    public CorrelationPart* Parts;
    public long PartCount;
    public void* Weights, Bias;
    public bool Rectifies;

    /// <summary>How images are cut: some together, or each in bands of rows.</summary>
    public long ImagesTogether, Bands;
}

/// <summary>Products of windows and weights, for convolutions and their gradients by the input.</summary>
internal static unsafe class Correlation<T>
    where T : unmanaged, IBinaryFloatingPointIeee754<T>
{
    private const long PixelsTogether = 128; // that the weights in the caches serve one after the other
    private const long EnoughChunks = 16; // for the threads; fewer images are cut into bands

    /// <summary>Computes all parts of a job whose images and weights are set.</summary>
    public static void Run(CorrelationJob* job)
    {
        long channels = job->X.Channels, outputs = job->Y.Channels, size = 0, copy = 0, pixels = 0;
        for (long p = 0; p < job->PartCount; p++)
        {
            Windows windows = job->Parts[p].Windows;
            size += PanelSize(windows, channels, outputs);
            pixels = Math.Max(pixels, windows.Down * windows.Across);
        }

        job->ImagesTogether = Math.Clamp(PixelsTogether / Math.Max(1, pixels), 1, Math.Max(1, job->X.Count / EnoughChunks));
        job->Bands = Math.Max(1, EnoughChunks / job->X.Count);
        for (long p = 0; p < job->PartCount; p++)
        {
            Windows windows = job->Parts[p].Windows;
            copy = Math.Max(copy, Plane.Size(windows, channels, job->ImagesTogether, (windows.Down + job->Bands - 1) / job->Bands));
        }

        T* panels = (T*)TensorMemory.Rent((nint)size * sizeof(T));
        try
        {
            T* next = panels;
            for (long p = 0; p < job->PartCount; p++)
            {
                job->Parts[p].Panels = next;
                next += PanelSize(job->Parts[p].Windows, channels, outputs);
            }

            job->Chunks = new(job->PartCount * Vectors(outputs), &Pack, workBytes: 0);
            Chunks.Run((Chunks*)job);
            job->Chunks = new((job->X.Count + job->ImagesTogether - 1) / job->ImagesTogether * job->Bands, &Band, (nint)(RegisterTiles<T>.MostElements + copy) * sizeof(T));
            Chunks.Run((Chunks*)job);
        }
        finally
        {
            TensorMemory.Return(panels);
        }
    }

    private static long Vectors(long outputs) => (outputs + RegisterTiles<T>.Width - 1) / RegisterTiles<T>.Width;

    private static long Terms(in Windows windows, long channels) => windows.Height * windows.Width * channels;

    private static long PanelSize(in Windows windows, long channels, long outputs)
        => Vectors(outputs) * RegisterTiles<T>.Width * (1 + Terms(windows, channels));

    /// <summary>
    /// Lays the weights of one vector of outputs, and their bias before them, where the tile of its panel reads them: the panels' vectors side by side,
    /// term after term.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Pack(void* context, long chunk, void* work)
    {
        var job = (CorrelationJob*)context;
        long vectors = Vectors(job->Y.Channels), vector = chunk % vectors, panel = 0;
        int width = RegisterTiles<T>.Width, taken = RegisterTiles<T>.Take(vectors);
        ref CorrelationPart part = ref job->Parts[chunk / vectors];
        while (panel + taken <= vector)
        {
            panel += taken;
            taken = RegisterTiles<T>.Take(vectors - panel);
        }

        nint row = taken * width, lanes = (nint)Math.Min(width, job->Y.Channels - (vector * width));
        T* target = (T*)part.Panels + (panel * width * (1 + Terms(part.Windows, job->X.Channels))) + ((vector - panel) * width);
        T* source = (T*)job->Weights + part.First + (vector * width * part.OfOutput);
        for (nint l = 0; l < width; l++)
        {
            target[l] = job->Bias == null || l >= lanes ? T.Zero : ((T*)job->Bias)[(vector * width) + l];
        }

        target += row;
        for (long y = 0; y < part.Windows.Height; y++)
        {
            for (long x = 0; x < part.Windows.Width; x++)
            {
                T* from = source + (y * part.OfRow) + (x * part.OfColumn);
                for (long c = 0; c < job->X.Channels; c++, from += part.OfChannel, target += row)
                {
                    nint ofOutput = (nint)part.OfOutput;
                    for (nint l = 0; l < lanes; l++)
                    {
                        target[l] = from[l * ofOutput];
                    }

                    for (nint l = lanes; l < width; l++)
                    {
                        target[l] = T.Zero;
                    }
                }
            }
        }
    }

    /// <summary>All parts for some images together, or for a band of one.</summary>
    private static void Band(void* context, long chunk, void* work)
    {
        var job = (CorrelationJob*)context;
        long first = chunk / job->Bands * job->ImagesTogether, band = chunk % job->Bands;
        T* copy = (T*)work + RegisterTiles<T>.MostElements;
        (long First, long Count) images = (first, Math.Min(job->ImagesTogether, job->X.Count - first));
        for (long p = 0; p < job->PartCount; p++)
        {
            CorrelationPart* part = job->Parts + p;
            Windows windows = part->Windows;
            long begin = band * windows.Down / job->Bands, down = ((band + 1) * windows.Down / job->Bands) - begin;
            if (down == 0 || windows.Across == 0)
            {
                continue;
            }

            Plane plane = windows.ArePixels(job->X) && windows.Across >= RegisterTiles<T>.MostRows / 2
                ? Plane.On<T>(job->X, first, begin)
                : Plane.Copy(job->X, windows, images, begin, down, copy);
            Multiply(job, part, plane, images, begin, down, (T*)work);
        }
    }

    private static void Multiply(CorrelationJob* job, CorrelationPart* part, in Plane plane, (long First, long Count) images, long begin, long down, T* tile)
    {
        int width = RegisterTiles<T>.Width;
        long vectors = Vectors(job->Y.Channels), terms = Terms(part->Windows, job->X.Channels);
        T* panel = (T*)part->Panels;
        for (long vector = 0; vector < vectors;)
        {
            int taken = RegisterTiles<T>.Take(vectors - vector);
            nint row = taken * width;
            var product = new Product<T>
            {
                ARow = (nint)part->Windows.Step * plane.Pixel,
                Groups = 1,
                Segments = (nint)part->Windows.Height,
                Length = (nint)(part->Windows.Width * job->X.Channels),
                AStep = 1,
                ASegment = plane.Row,
                B = panel + row,
                BStep = row,
                BSegment = row * (nint)(part->Windows.Width * job->X.Channels),
                Initial = panel,
            };
            new Tiles(job, part, plane, &product, taken, vector * width, tile).Over(images, begin, down);
            panel += row * (nint)(1 + terms);
            vector += taken;
        }
    }

    /// <summary>The tiles of a panel: each half of a tile is a few windows side by side.</summary>
    private ref struct Tiles
    {
        private readonly CorrelationJob* _job;
        private readonly CorrelationPart* _part;
        private readonly Plane _plane;
        private readonly Product<T>* _product;
        private readonly int _vectors;
        private readonly nint _row, _columns, _pixel; // of a tile's memory; outputs that there are; from a half's output pixel to the next
        private readonly long _output;
        private readonly bool _isWhole;
        private readonly T* _tile; // for what cannot be written at once
        private T* _target;
        private long _valid;
        private bool _isHalf;

        public Tiles(CorrelationJob* job, CorrelationPart* part, in Plane plane, Product<T>* product, int vectors, long output, T* tile)
        {
            _job = job;
            _part = part;
            _product = product;
            _tile = tile;
            (_plane, _vectors, _output) = (plane, vectors, output);
            _row = vectors * RegisterTiles<T>.Width;
            _columns = (nint)Math.Min(_row, job->Y.Channels - output);
            _pixel = (nint)part->OutputStep * job->Y.Pixel;
            _isWhole = _columns == _row && !job->Rectifies;
        }

        public void Over((long First, long Count) images, long begin, long down)
        {
            long half = RegisterTiles<T>.Rows(_vectors) / 2, across = _part->Windows.Across, step = _part->Windows.Step;
            for (long image = 0; image < images.Count; image++)
            {
                for (long y = 0; y < down; y++)
                {
                    T* source = (T*)_plane.Data + (image * _plane.Image) + (y * step * _plane.Row);
                    T* target = _job->Y.At<T>(images.First + image, ((begin + y) * _part->OutputStep) + _part->Top, _part->Left) + _output;
                    for (long x = 0; x < across; x += half)
                    {
                        long at = Math.Max(0, Math.Min(x, across - half)); // the last overlaps the one before it
                        Add(source + (at * step * _plane.Pixel), target + (at * _pixel), Math.Min(half, across));
                    }
                }
            }

            if (_isHalf)
            {
                Add(_product->A, _target, _valid);
            }
        }

        /// <summary>One half more.</summary>
        private void Add(T* source, T* target, long valid)
        {
            if (!_isHalf)
            {
                _product->A = source;
                _target = target;
                (_valid, _isHalf) = (valid, true);
                return;
            }

            _isHalf = false;
            int rows = RegisterTiles<T>.Rows(_vectors) / 2;
            _product->AHalf = (nint)(source - _product->A);
            if (_isWhole && _valid == rows && valid == rows)
            {
                _product->C = _target;
                _product->CHalf = target;
                _product->CRow = _pixel;
                RegisterTiles<T>.Run(_vectors, _product);
                return;
            }

            T* tile = _tile;
            _product->C = tile;
            _product->CHalf = tile + (rows * _row);
            _product->CRow = _row;
            RegisterTiles<T>.Run(_vectors, _product);
            if (_job->Rectifies)
            {
                var run = new Runs<T> { Z = tile, Target = tile };
                Sweep.Over<T, RectifyStep<T>>(2 * rows * _row, &run);
            }

            Write(tile, _target, _valid);
            Write(tile + (rows * _row), target, valid);
        }

        private readonly void Write(T* tile, T* target, long valid)
        {
            for (; valid > 0; valid--, tile += _row, target += _pixel)
            {
                RegisterTiles<T>.Copy(tile, target, _columns);
            }
        }
    }
}
