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
internal static unsafe class Correlation<T>
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

    /// <summary>All parts for some images together, or for a band of one.</summary>
    private static void Band(void* context, long chunk, void* work)
    {
        var job = (CorrelationJob*)context;
        T* copy = (T*)work + RegisterTiles<T>.MostElements;
        long first = chunk / job->Bands * job->ImagesTogether, band = chunk % job->Bands;
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

            Plane plane = job->X.IsOne && windows.ArePixels(job->X.First) && windows.Across >= RegisterTiles<T>.MostRows / 2
                ? Plane.On<T>(job->X.First, first, begin)
                : Plane.Copy(job->X, windows, images, begin, down, copy);
            Multiply(job, part, plane, images, begin, down, (T*)work);
        }
    }

    private static void Multiply(
        CorrelationJob* job, CorrelationPart* part, in Plane plane, (long First, long Count) images, long begin, long down, T* tile)
    {
        long vectors = Vectors(Outputs(job, *part)), terms = Terms(job, *part);
        nint length = (nint)(part->Windows.Width * job->X.Channels);
        T* panel = (T*)job->Panels + ((part - job->Parts) * job->PanelSize);
        for (long vector = 0; vector < vectors;)
        {
            int taken = RegisterTiles<T>.Take(vectors - vector);
            nint row = taken * RegisterTiles<T>.Width;
            var product = new Product<T>
            {
                ARow = (nint)part->Windows.StepAcross * plane.Pixel,
                Groups = 1,
                Segments = (nint)part->Windows.Height,
                Length = length,
                AStep = 1,
                ASegment = plane.Row,
                B = panel + row,
                BStep = row,
                BSegment = row * length,
                Initial = panel,
                InitialHalf = panel,
                Rectifies = job->Rectifies,
            };
            new Tiles(job, part, plane, &product, (vector, vectors), tile).Over(images, begin, down);
            panel += row * (nint)(1 + terms);
            vector += taken;
        }
    }

    /// <summary>The tiles of a panel: each half of a tile is a few windows side by side.</summary>
    private ref struct Tiles
    {
        private const long Ahead = 16; // windows

        private readonly CorrelationJob* _job;
        private readonly CorrelationPart* _part;
        private readonly Plane _plane;
        private readonly Product<T>* _product;
        private readonly int _vectors, _half; // of a tile, windows of its half
        private readonly nint _row, _columns; // of a tile's memory; outputs that there are
        private readonly nint _next, _nextOfSecond; // from what a window gives to what the next gives, in each tensor
        private readonly nint _ofFirst; // outputs that the first tensor has; the second has the rest
        private readonly long _output; // the first
        private readonly bool _fetchesSource; // whether the images are read where they lie, and not yet by a panel before
        private readonly bool _maySpill; // whether what is written beyond a window's outputs falls on next ones', written later
        private readonly T* _tile; // for what cannot be written at once
        private Half _waiting;

        public Tiles(
            CorrelationJob* job, CorrelationPart* part, in Plane plane, Product<T>* product, (long First, long All) vectors, T* tile)
        {
            (_plane, _vectors) = (plane, RegisterTiles<T>.Take(vectors.All - vectors.First));
            _job = job;
            _part = part;
            _product = product;
            _tile = tile;
            _half = RegisterTiles<T>.Rows(_vectors) / 2;
            _row = _vectors * RegisterTiles<T>.Width;
            _output = vectors.First * RegisterTiles<T>.Width;
            _columns = (nint)Math.Min(_row, Outputs(job, *part) - _output);
            _fetchesSource = vectors.First == 0 && job->X.IsOne && part->Windows.ArePixels(job->X.First);
            _next = (nint)part->Across * job->Y.First.Pixel;
            _nextOfSecond = (nint)part->Across * job->Y.Second.Pixel;
            _ofFirst = job->Y.IsOne ? _columns : (nint)Math.Clamp(job->Y.First.Channels - _output, 0, _columns);
            _maySpill = _next == _columns && !job->Adds;
        }

        public void Over((long First, long Count) images, long begin, long down)
        {
            long across = _part->Windows.Across, step = _part->Windows.Step;
            for (long image = 0; image < images.Count; image++)
            {
                for (long y = 0; y < down; y++)
                {
                    T* source = (T*)_plane.Data + (image * _plane.Image) + (y * step * _plane.Row);
                    (long row, ImagePair targets) = (((begin + y) * _part->Down) + _part->Top, _job->Y);
                    T* target = targets.First.At<T>(images.First + image, row, _part->Left) + _output;
                    T* second = targets.IsOne ? null
                        : targets.Second.At<T>(images.First + image, row, _part->Left) + Math.Max(0, _output - targets.First.Channels);
                    AddRow(source, target, second, across);
                }
            }

            if (_waiting.Windows > 0)
            {
                Add(_waiting);
            }
        }

        private void AddRow(T* source, T* target, T* second, long across)
        {
            for (long x = 0; x < across; x += _half)
            {
                long at = Math.Max(0, Math.Min(x, across - _half)), done = x - at; // the last overlaps the one before it
                bool fits = _columns == _row || (_maySpill && ((at + _half - 1) * _next) + _row <= across * _next);
                bool isWhole = second == null && fits && across >= _half && !(_job->Adds && done > 0);
                if (_fetchesSource)
                {
                    Plane.Fetch(source + ((x + Ahead) * _product->ARow), _product->ARow, (nint)_job->X.Channels, _half);
                }

                if (_job->Adds)
                {
                    Plane.Fetch(target + ((x + Ahead) * _next), _next, _ofFirst, _half);
                }

                T* from = source + (at * _product->ARow);
                Add(new(from, target + (at * _next), second + (at * _nextOfSecond), done, Math.Min(_half, across), isWhole));
            }
        }

        /// <summary>One half more.</summary>
        private void Add(Half half)
        {
            if (_waiting.Windows == 0)
            {
                _waiting = half;
                return;
            }

            Half first = _waiting;
            _waiting = default;
            bool isDirect = first.IsWhole && half.IsWhole;
            _product->A = first.Source;
            _product->AHalf = (nint)(half.Source - first.Source);
            _product->C = isDirect ? first.Target : _tile;
            _product->CHalf = isDirect ? half.Target : _tile + (_half * _row);
            _product->CRow = isDirect ? _next : _row;
            if (_job->Adds)
            {
                Begin(first, half, isDirect);
            }

            RegisterTiles<T>.Run(_vectors, _product);
            if (!isDirect)
            {
                Write(first, _tile);
                Write(half, _tile + (_half * _row));
            }
        }

        /// <summary>Lets the sums begin with what is there.</summary>
        private readonly void Begin(Half first, Half second, bool isDirect)
        {
            _product->Initial = _product->C;
            _product->InitialHalf = _product->CHalf;
            _product->InitialRow = _product->CRow;
            if (!isDirect)
            {
                Copy(first, _tile, 0, isBack: false);
                Copy(second, _tile + (_half * _row), 0, isBack: false);
            }
        }

        private readonly void Write(Half half, T* tile) => Copy(half, tile, _job->Adds ? half.Done : 0, isBack: true);

        /// <summary>Copies the outputs of a half's windows from a tile's memory, or to it.</summary>
        private readonly void Copy(Half half, T* tile, long from, bool isBack)
        {
            for (long window = from; window < half.Windows; window++)
            {
                T* own = tile + (window * _row);
                Copy(own, half.Target + (window * _next), _ofFirst, isBack);
                if (half.Second != null)
                {
                    Copy(own + _ofFirst, half.Second + (window * _nextOfSecond), _columns - _ofFirst, isBack);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Copy(T* tile, T* target, nint count, bool isBack)
            => RegisterTiles<T>.Copy(isBack ? tile : target, isBack ? target : tile, count);
    }

    /// <summary>
    /// Half of a tile: some windows, of which a few may be done already; whole, if it can be written where it belongs at once.
    /// </summary>
    private readonly struct Half(T* source, T* target, T* second, long done, long windows, bool isWhole)
    {
        public T* Source { get; } = source;

        public T* Target { get; } = target;

        /// <summary>In the second tensor, or null.</summary>
        public T* Second { get; } = second;

        public long Done { get; } = done;

        public long Windows { get; } = windows;

        public bool IsWhole { get; } = isWhole;
    }
}
