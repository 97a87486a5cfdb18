using System.Runtime.CompilerServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <content>What a chunk computes: bands of images, tile by tile.</content>
internal static unsafe partial class Correlation<T>
{
    /// <summary>All parts for several images together, or for a band of one image.</summary>
    private static void Band(void* context, long chunk, void* work)
    {
        var job = (CorrelationJob*)context;
        T* copy = (T*)work + RegisterTiles<T>.MaxElements;
        long first = chunk / job->Bands * job->ImagesTogether, band = chunk % job->Bands;
        (long First, long Count) images = (first, Math.Min(job->ImagesTogether, job->X.Count - first));
        for (long p = 0; p < job->PartCount; p++)
        {
            CorrelationPart* part = job->Parts + p;
            ConvolutionWindows windows = part->Windows;
            long begin = band * windows.Down / job->Bands, down = ((band + 1) * windows.Down / job->Bands) - begin;
            if (down == 0 || windows.Across == 0)
            {
                continue;
            }

            Plane plane = job->X.IsOne && windows.ArePixels(job->X.First) && windows.Across >= RegisterTiles<T>.RowUnit / 2
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
        private const long PrefetchDistance = 16; // windows

        private readonly CorrelationJob* _job;
        private readonly CorrelationPart* _part;
        private readonly Plane _plane;
        private readonly Product<T>* _product;
        private readonly int _vectors, _half; // vectors of a tile; windows of half a tile
        private readonly nint _row, _columns; // elements in a row of a tile's memory; how many of them are outputs
        private readonly nint _next, _nextOfSecond; // distance between the outputs of neighbouring windows, in each tensor
        private readonly nint _ofFirst; // outputs in the first tensor; the second has the rest
        private readonly long _output; // index of the first
        private readonly bool _fetchesSource; // whether images are read in place, and for the first time
        private readonly bool _maySpill; // whether writes beyond a window's outputs only hit outputs that are written later
        private readonly T* _tile; // for outputs that cannot be written directly
        private TileHalf _waiting;

        public Tiles(
            CorrelationJob* job, CorrelationPart* part, in Plane plane, Product<T>* product, (long First, long All) vectors, T* tile)
        {
            (_plane, _vectors) = (plane, RegisterTiles<T>.Take(vectors.All - vectors.First));
            _job = job;
            _part = part;
            _product = product;
            _tile = tile;
            _half = RegisterTiles<T>.Rows(_vectors, 2 * part->Windows.Across) / 2;
            _row = _vectors * RegisterTiles<T>.Width;
            _output = vectors.First * RegisterTiles<T>.Width;
            _columns = (nint)Math.Min(_row, Outputs(job, *part) - _output);
            _fetchesSource = vectors.First == 0 && job->X.IsOne && part->Windows.ArePixels(job->X.First);
            _next = (nint)part->Across * job->Y.First.Pixel;
            _nextOfSecond = (nint)part->Across * job->Y.Second.Pixel;
            _ofFirst = job->Y.IsOne ? _columns : (nint)Math.Clamp(job->Y.First.Channels - _output, 0, _columns);
            _maySpill = _next == _columns && !job->Accumulates;
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
                long at = Math.Max(0, Math.Min(x, across - _half)), done = x - at; // the last one overlaps its predecessor
                bool fits = _columns == _row || (_maySpill && ((at + _half - 1) * _next) + _row <= across * _next);
                bool isWhole = second == null && fits && across >= _half && !(_job->Accumulates && done > 0);
                if (_fetchesSource)
                {
                    Plane.Fetch(source + ((x + PrefetchDistance) * _product->ARow), _product->ARow, (nint)_job->X.Channels, _half);
                }

                if (_job->Accumulates)
                {
                    Plane.Fetch(target + ((x + PrefetchDistance) * _next), _next, _ofFirst, _half);
                }

                T* from = source + (at * _product->ARow);
                Add(new(from, target + (at * _next), second + (at * _nextOfSecond), done, Math.Min(_half, across), isWhole));
            }
        }

        /// <summary>Adds half a tile; two make a tile, which is computed.</summary>
        private void Add(TileHalf half)
        {
            if (_waiting.Windows == 0)
            {
                _waiting = half;
                return;
            }

            TileHalf first = _waiting;
            _waiting = default;
            bool isDirect = first.IsWhole && half.IsWhole;
            _product->A = first.Source;
            _product->AHalf = (nint)(half.Source - first.Source);
            _product->C = isDirect ? first.Target : _tile;
            _product->CHalf = isDirect ? half.Target : _tile + (_half * _row);
            _product->CRow = isDirect ? _next : _row;
            if (_job->Accumulates)
            {
                Begin(first, half, isDirect);
            }

            RegisterTiles<T>.Run(_vectors, 2 * _half, _product);
            if (!isDirect)
            {
                Write(first, _tile);
                Write(half, _tile + (_half * _row));
            }
        }

        /// <summary>Initialises the sums with the existing outputs.</summary>
        private readonly void Begin(TileHalf first, TileHalf second, bool isDirect)
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

        private readonly void Write(TileHalf half, T* tile) => Copy(half, tile, _job->Accumulates ? half.Done : 0, isBack: true);

        /// <summary>Copies the outputs of a half's windows from a tile's memory, or to it.</summary>
        private readonly void Copy(TileHalf half, T* tile, long from, bool isBack)
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
    /// Half of a tile: some windows, a few of which may already be done; whole if it can be written directly to its destination.
    /// </summary>
    private readonly struct TileHalf(T* source, T* target, T* second, long done, long windows, bool isWhole)
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
