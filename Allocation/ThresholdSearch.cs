namespace Imta.MetaWeight.Allocation;

/// <summary>
/// Thresholds that maximise the accuracy on held-out samples within a budget of mean multiply-adds. Exact for up to three exits (and <see
/// cref="MaxCuts"/> samples). For more exits a heuristic: coordinate ascent over pairs of thresholds, each pair optimised exactly with the
/// others fixed, until no pair gains, from several starts. The first start is the geometric shares
/// (<see cref="Calibration.QuotasForMacs"/>), so the result is never worse than these. Nothing is random.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits. O(N²) per pair; with more than MaxCuts samples, O(N · MaxCuts).</remarks>
public sealed class ThresholdSearch
{
    /// <summary>About the maximum number of values tried for the first threshold of a pair; for the second, all are tried.</summary>
    public const int MaxCuts = 8192;

    private static readonly double[] Starts = [1, 0.7, 0.4]; // parts of what the budget leaves beyond exit 1

    private readonly int _samples;
    private readonly RankedScores[] _exits; // K − 1
    private readonly int[] _right; // [N, K], 0 or 1
    private readonly IReadOnlyList<long> _macs;

    private ThresholdSearch(Tensor scores, Tensor correct, IReadOnlyList<long> macs)
    {
        using DisposeScope scope = NewDisposeScope();
        (_samples, _macs) = ((int)scores.shape[0], macs);
        _exits = [.. Enumerable.Range(0, macs.Count - 1)
            .Select(k => new RankedScores(scores.select(1, k).cpu().contiguous().data<float>().ToArray()))];
        _right = correct.to_type(int32).cpu().contiguous().data<int>().ToArray();
    }

    /// <summary>The policy of the best thresholds found; of those with the same accuracy, the cheapest.</summary>
    /// <param name="criterion">The score.</param>
    /// <param name="scores">float32 <c>[N, K]</c>, of held-out samples.</param>
    /// <param name="correct">bool <c>[N, K]</c>: whether the exit's prediction is correct.</param>
    /// <param name="macs">Multiply-adds of a prediction at each exit, K numbers.</param>
    /// <param name="budget">Maximum mean multiply-adds per sample.</param>
    /// <exception cref="ArgumentOutOfRangeException">Even exit 1 exceeds the budget.</exception>
    public static ThresholdPolicy Maximise(
        IExitCriterion criterion, Tensor scores, Tensor correct, IReadOnlyList<long> macs, double budget)
    {
        using DisposeScope scope = NewDisposeScope();
        var search = new ThresholdSearch(scores, correct, macs);
        int[][] starts = [.. Starts.Take(macs.Count > 3 ? Starts.Length : 1).Select(part => search.Start(scores, part, budget))];
        // The shares' own cost is summed in float32: by rounding, it may exceed the budget.
        double limit = Math.Max(budget * search._samples, search.At(starts[0]).Macs);
        int[] best = starts.Select(cuts => search.Climb(cuts, limit)).Aggregate((one, other) => search.At(other).IsBetter(search.At(one))
            ? other
            : one);
        return new ThresholdPolicy(criterion, [
            .. best.Select((cut, k) => Calibration.Midpoint(search._exits[k].Threshold(cut), scores.select(1, k))),
            BudgetedInference.Always,
        ]);
    }

    private int[] Start(Tensor scores, double part, double budget)
    {
        (int[] quotas, _) = Calibration.QuotasForMacs(scores, _macs, part == 1 ? budget : _macs[0] + (part * (budget - _macs[0])));
        float[] thresholds = BudgetedInference.Thresholds(scores, [quotas]).cpu().data<float>().ToArray();
        return [.. _exits.Select((exit, k) => exit.Cut(thresholds[k]))];
    }

    private int[] Climb(int[] cuts, double limit)
    {
        (int, int)[] pairs = _exits.Length == 1
            ? [(-1, 0)]
            : [.. from a in Enumerable.Range(0, _exits.Length) from b in Enumerable.Range(a + 1, _exits.Length - a - 1) select (a, b)];
        Outcome best = At(cuts);
        for (int since = 0, at = 0; since < pairs.Length; since++, at = (at + 1) % pairs.Length)
        {
            var pair = new PairOfCuts(best, limit);
            Sweep(cuts, pairs[at], pair);
            if (pair.Best != best)
            {
                (best, since) = (pair.Best, 0);
                cuts = [.. cuts.Select((cut, k) => k == pairs[at].Item1 ? pair.First : k == pairs[at].Item2 ? pair.Second : cut)];
            }
        }

        return cuts;
    }

    /// <summary>Tries the cuts of a pair of exits; a first exit of −1 means none.</summary>
    private void Sweep(int[] cuts, (int First, int Second) exits, PairOfCuts pair)
    {
        // Where a sample leaves if not at the pair: before, between or after its exits.
        int[] otherwise = [.. Enumerable.Range(0, _samples).Select(i => ExitOf(i, cuts, exits))];
        Outcome at = otherwise.Select((exit, i) => Of(i, exit)).Aggregate((sum, one) => sum + one);
        SecondCuts second = SecondCuts.Compute(
            _exits[exits.Second], i => otherwise[i] > exits.Second, i => exits.First < 0 ? int.MaxValue : _exits[exits.First].Rank[i],
            i => Of(i, exits.Second) - Of(i, otherwise[i]));
        second.Try(0, at, pair);
        if (exits.First < 0)
        {
            return;
        }

        RankedScores first = _exits[exits.First];
        int step = (_samples + MaxCuts - 1) / MaxCuts, tried = 0;
        for (int place = 0; place < _samples; place++)
        {
            int sample = first.Order[place], cut = place + 1;
            at = otherwise[sample] > exits.First ? at + Of(sample, exits.First) - Of(sample, otherwise[sample]) : at;
            if (first.GroupEnd[place] == cut && (cut - tried >= step || cut == cuts[exits.First] || cut == _samples))
            {
                second.Try(cut, at, pair);
                tried = cut;
            }
        }
    }

    private int ExitOf(int sample, int[] cuts, (int First, int Second) without)
    {
        int exit = 0;
        while (exit < cuts.Length && (exit == without.First || exit == without.Second || _exits[exit].Rank[sample] >= cuts[exit]))
        {
            exit++;
        }

        return exit;
    }

    private Outcome At(int[] cuts)
        => Enumerable.Range(0, _samples).Select(i => Of(i, ExitOf(i, cuts, (-1, -1)))).Aggregate((sum, one) => sum + one);

    private Outcome Of(int sample, int exit) => new(_right[(sample * _macs.Count) + exit], _macs[exit]);

    /// <summary>Samples that are predicted correctly, and multiply-adds of all.</summary>
    private readonly record struct Outcome(long Right, long Macs)
    {
        public static Outcome operator +(Outcome a, Outcome b) => new(a.Right + b.Right, a.Macs + b.Macs);

        public static Outcome operator -(Outcome a, Outcome b) => new(a.Right - b.Right, a.Macs - b.Macs);

        public bool IsBetter(Outcome other) => Right > other.Right || (Right == other.Right && Macs < other.Macs);
    }

    /// <summary>The best cuts of a pair so far, within a limit on multiply-adds.</summary>
    private sealed class PairOfCuts(Outcome best, double limit)
    {
        public Outcome Best { get; private set; } = best;

        public int First { get; private set; }

        public int Second { get; private set; }

        public void Offer(Outcome at, int first, int second)
        {
            if (at.Macs <= limit && at.IsBetter(Best))
            {
                (Best, First, Second) = (at, first, second);
            }
        }
    }

    /// <summary>The samples that can leave at the second exit of a pair, by its scores.</summary>
    /// <param name="Ranks">Their positions in the first exit's order.</param>
    /// <param name="Cuts">The second cut after each, 0 inside a group of equal scores.</param>
    /// <param name="Right">By how much leaving here changes the number of correct predictions.</param>
    /// <param name="Macs">By how much it changes the multiply-adds.</param>
    private sealed record SecondCuts(int[] Ranks, int[] Cuts, int[] Right, long[] Macs)
    {
        public static SecondCuts Compute(RankedScores exit, Func<int, bool> reaches, Func<int, int> rank, Func<int, Outcome> change)
        {
            int[] samples = [.. exit.Order.Where(reaches)];
            int[] cuts = [.. samples.Select(i => exit.GroupEnd[exit.Rank[i]])];
            Outcome[] changes = [.. samples.Select(change)];
            return new SecondCuts(
                [.. samples.Select(rank)],
                [.. cuts.Select((cut, at) => at + 1 < cuts.Length && cuts[at + 1] == cut ? 0 : cut)],
                [.. changes.Select(one => (int)one.Right)],
                [.. changes.Select(one => one.Macs)]);
        }

        /// <summary>Tries all second cuts under a first one; samples of lower rank have left at the first exit.</summary>
        public void Try(int first, Outcome at, PairOfCuts pair)
        {
            pair.Offer(at, first, 0);
            (long right, long macs) = (at.Right, at.Macs);
            for (int i = 0; i < Ranks.Length; i++)
            {
                long here = (first - 1L - Ranks[i]) >> 63; // all bits set if it has not left, else none: no branch to mispredict
                right += Right[i] & here;
                macs += Macs[i] & here;
                if (Cuts[i] > 0)
                {
                    pair.Offer(new Outcome(right, macs), first, Cuts[i]);
                }
            }
        }
    }
}
