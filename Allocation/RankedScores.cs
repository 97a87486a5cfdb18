namespace Imta.MetaWeight.Allocation;

/// <summary>
/// The scores of an exit in descending order. A threshold corresponds to a cut: the number of samples that would leave if all of them
/// reached the exit. Equal scores are on the same side of every cut.
/// </summary>
internal sealed class RankedScores
{
    private readonly float[] _scores;

    public RankedScores(float[] scores)
    {
        _scores = scores;
        Order = [.. Enumerable.Range(0, scores.Length).OrderByDescending(i => scores[i])];
        (Rank, GroupEnd) = (new int[scores.Length], new int[scores.Length]);
        for (int at = scores.Length - 1; at >= 0; at--)
        {
            Rank[Order[at]] = at;
            GroupEnd[at] = at + 1 < scores.Length && scores[Order[at]] == scores[Order[at + 1]] ? GroupEnd[at + 1] : at + 1;
        }
    }

    /// <summary>Samples by their score, the highest first.</summary>
    public int[] Order { get; }

    /// <summary>The position of each sample in the order.</summary>
    public int[] Rank { get; }

    /// <summary>For each position in the order, the cut below all scores that equal the one there.</summary>
    public int[] GroupEnd { get; }

    /// <summary>The threshold of a cut: the lowest score above it.</summary>
    public float Threshold(int cut) => cut == 0 ? BudgetedInference.Never : _scores[Order[cut - 1]];

    /// <summary>The cut of a threshold.</summary>
    public int Cut(float threshold) => _scores.Count(score => score >= threshold);
}
