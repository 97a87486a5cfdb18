namespace Imta.MetaWeight.Backbones;

/// <summary>When samples that have left are removed from the batch.</summary>
public enum Compaction
{
    /// <summary>When the next block then saves more than moving rows costs.</summary>
    WhenBeneficial,

    /// <summary>Never: the whole batch runs to the exit that its last sample needs.</summary>
    Never,
}

/// <summary>Decides which samples leave at an exit: bool <c>[M]</c>, ignored for samples that have already left.</summary>
/// <param name="exit">The exit, 0 … K − 2; at the last one, all samples leave.</param>
/// <param name="logits">Its logits, <c>[M, C]</c>.</param>
/// <param name="rows">int64 <c>[M]</c>: each sample's row in the original batch.</param>
public delegate Tensor ExitRule(int exit, Tensor logits, Tensor rows);

/// <summary>Predictions for a batch, in the batch's order.</summary>
/// <param name="Logits"><c>[N, C]</c>, each sample's from its exit.</param>
/// <param name="Exits">int64 <c>[N]</c>: the exit of each sample, 0 … K − 1.</param>
public sealed record EarlyExitResult(Tensor Logits, Tensor Exits);

/// <summary>Logits are NaN or infinite: the message says for how many samples, and at which exits.</summary>
/// <param name="counts">For each exit from <paramref name="first"/> on, the number of samples with such logits.</param>
/// <param name="samples">How many samples these exits classified.</param>
/// <param name="first">The first of the exits, from 0.</param>
public sealed class NonFiniteLogitsException(IReadOnlyList<long> counts, long samples, int first = 0)
    : ArithmeticException($"the network's logits are NaN or infinite for {Exits(counts, samples, first)}")
{
    private static string Exits(IReadOnlyList<long> counts, long samples, int first) => string.Join(", ", counts
        .Select((count, k) => count == 0 ? null : FormattableString.Invariant($"{count:N0} of {samples:N0} images at exit {first + k + 1}"))
        .OfType<string>());
}

/// <summary>
/// Runs a network so that samples really leave early: rows of samples that have left are dropped from all features that later blocks read
/// (<see cref="Compaction"/>), and blocks after the last exit that any sample needs do not run. By default, batch norm is folded into the
/// layers before it.
/// </summary>
/// <remarks>
/// Shapes: <c>N</c> samples, <c>M</c> of them still in the batch, including some that have left but are not yet dropped, <c>K</c> exits,
/// <c>C</c> classes. Batches from several threads run one after another.
/// </remarks>
public sealed class EarlyExit : IDisposable
{
    // Moving a row reads and writes it; in that time a convolution does about this many multiply-adds per element (measured on two
    // cores in float32; doubling or halving it changes run times by less than their noise).
    private const double MeasuredMacsPerMovedRow = 32;

    // Row counts are rounded up to one of this many sizes between consecutive powers of two: libtorch creates
    // convolution primitives once per number of rows, and keeps them.
    private const int SizesPerDoubling = 8;

    private readonly Lock _gate = new(); // what is folded and packed belongs to one pass at a time
    private readonly MultiExitNetwork _network;
    private readonly Compaction _compaction;
    private readonly BatchNormFolding? _folding;
    private readonly Dictionary<(long, long, long), NetworkCost> _costs = []; // by the images' shape

    /// <param name="network">The network, still owned by the caller; its parameters must not change after the first batch.</param>
    /// <param name="compaction">When samples that have left are removed from the batch.</param>
    /// <param name="folds">Whether batch norm is folded, with channels-last memory layout.</param>
    public EarlyExit(MultiExitNetwork network, Compaction compaction = Compaction.WhenBeneficial, bool folds = true)
        => (_network, _compaction, _folding) = (network, compaction, folds ? new BatchNormFolding() : null);

    /// <summary>The cost of moving one element of a row, in multiply-adds; at 0, rows are dropped after every exit.</summary>
    internal double MacsPerMovedRow { get; init; } = MeasuredMacsPerMovedRow;

    /// <summary>Classifies a batch.</summary>
    /// <param name="images"><c>[N, 3, H, W]</c>, normalised.</param>
    /// <param name="answers">Decides which samples exit.</param>
    /// <exception cref="NonFiniteLogitsException">An exit's logits are NaN or infinite.</exception>
    public EarlyExitResult Run(Tensor images, ExitRule answers)
    {
        using Lock.Scope exclusive = _gate.EnterScope();
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();

        // A network may pass the images on, and rows are dropped in place, so work on a copy.
        var walk = new MultiExitNetwork.ExitWalk(_network, images.clone(), new Pass(NormStatistics.Running) { Folding = _folding });
        var batch = new ActiveSamples(images.size(0), _network.Classes, images);
        for (int k = 0; k < _network.Exits && batch.Remaining > 0; k++)
        {
            Tensor logits = walk.Next();
            batch.RefuseNonFinite(k, logits);
            batch.Answer(k, logits, k == _network.Exits - 1 ? null : answers(k, logits, batch.RowsOn(images.device)));
            if (batch.Remaining > 0 && batch.Remaining < batch.Present)
            {
                Compact(k, batch, walk, images);
            }
        }

        return new EarlyExitResult(scope.MoveToOuter(batch.Logits), scope.MoveToOuter(batch.ExitsOn(images.device)));
    }

    /// <inheritdoc/>
    public void Dispose() => _folding?.Dispose();

    /// <summary>How many rows a batch continues with if <paramref name="left"/> samples remain.</summary>
    internal static int RoundUpRows(int left)
    {
        int step = Math.Max(1, (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)left) / 2 / SizesPerDoubling);
        return (left + step - 1) / step * step;
    }

    private void Compact(int k, ActiveSamples batch, MultiExitNetwork.ExitWalk walk, Tensor images)
    {
        int size = RoundUpRows(batch.Remaining);
        if (_compaction == Compaction.Never || size >= batch.Present)
        {
            return;
        }

        (long[] gaps, long[] sources) = batch.Gaps(size);
        if (IsWorthwhile(batch.Present - size, gaps.Length, MacsToNextExit(k, images), walk.CarriedElements))
        {
            walk.CompactRows(tensor(gaps, int64, images.device), tensor(sources, int64, images.device), size);
            batch.CompactRows(gaps, sources, size);
        }
    }

    /// <summary>Whether dropping rows saves more than moving others costs; always true if the network counts no multiply-adds.</summary>
    private bool IsWorthwhile(long dropped, long moved, long macs, long carried)
        => macs == 0 || dropped * macs > moved * carried * MacsPerMovedRow;

    /// <summary>Multiply-adds per sample from exit k to the next.</summary>
    private long MacsToNextExit(int k, Tensor images)
    {
        (long, long, long) shape = (images.size(1), images.size(2), images.size(3));
        if (!_costs.TryGetValue(shape, out NetworkCost? cost))
        {
            _costs[shape] = cost = _network.CostOf(images.narrow(0, 0, 1));
        }

        return cost.Exits[k + 1].Macs - cost.Exits[k].Macs;
    }

    /// <summary>The samples without an answer, and the answers so far.</summary>
    private sealed class ActiveSamples
    {
        private readonly long[] _exits;
        private long[] _rows; // for each row present, its row in the original batch
        private bool[] _done;
        private Tensor? _onDevice; // _rows on the device

        public ActiveSamples(long samples, long classes, Tensor like)
        {
            Logits = zeros([samples, classes], like.dtype, like.device);
            _exits = new long[samples];
            _rows = [.. Enumerable.Range(0, (int)samples).Select(row => (long)row)];
            _done = new bool[samples];
            Remaining = (int)samples;
        }

        public Tensor Logits { get; }

        /// <summary>Samples without a prediction.</summary>
        public int Remaining { get; private set; }

        /// <summary>The rows present, including some that already have an answer.</summary>
        public int Present => _rows.Length;

        public Tensor RowsOn(Device device) => _onDevice ??= tensor(_rows, int64, device);

        public Tensor ExitsOn(Device device) => tensor(_exits, int64, device);

        /// <summary>
        /// Throws if logits of samples without an answer are NaN or infinite; −∞ beside finite ones is probability 0. Waits for the device.
        /// </summary>
        public void RefuseNonFinite(int k, Tensor logits)
        {
            if (!double.IsFinite(logits.sum(float64).item<double>()))
            {
                bool[] finite = logits.logsumexp(1).isfinite().cpu().data<bool>().ToArray();
                int broken = Enumerable.Range(0, Present).Count(row => !_done[row] && !finite[row]);
                _ = broken == 0 ? 0 : throw new NonFiniteLogitsException([broken], Remaining, first: k);
            }
        }

        /// <summary>Records the predictions of exit <paramref name="k"/>.</summary>
        /// <param name="k">The exit.</param>
        /// <param name="logits">Logits of the rows present.</param>
        /// <param name="answered">Which of these exit; null: all.</param>
        public void Answer(int k, Tensor logits, Tensor? answered)
        {
            bool[]? chosen = answered?.cpu().data<bool>().ToArray();
            long[] leaving = [
                .. Enumerable.Range(0, Present)
                .Where(row => !_done[row] && (chosen is null || chosen[row])).Select(row => (long)row)];
            foreach (long row in leaving)
            {
                _done[row] = true;
                _exits[_rows[row]] = k;
            }

            Remaining -= leaving.Length;
            if (leaving.Length > 0)
            {
                Tensor places = tensor(Array.ConvertAll(leaving, row => _rows[row]), int64, logits.device);
                Logits.index_copy_(0, places, logits.index_select(0, tensor(leaving, int64, logits.device)));
            }
        }

        /// <summary>Which rows unfinished samples would move to, and from, so that <paramref name="size"/> rows hold them all.</summary>
        public (long[] Gaps, long[] Sources) Gaps(int size)
        {
            long[] sources = [.. Enumerable.Range(size, Present - size).Where(row => !_done[row]).Select(row => (long)row)];
            return ([.. Enumerable.Range(0, size).Where(row => _done[row]).Take(sources.Length).Select(row => (long)row)], sources);
        }

        /// <summary>Continues with <paramref name="size"/> rows.</summary>
        public void CompactRows(long[] gaps, long[] sources, int size)
        {
            for (int i = 0; i < gaps.Length; i++)
            {
                (_rows[gaps[i]], _done[gaps[i]]) = (_rows[sources[i]], false);
            }

            (_rows, _done, _onDevice) = (_rows[..size], _done[..size], null);
        }
    }
}
