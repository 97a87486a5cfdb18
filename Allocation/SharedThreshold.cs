namespace Imta.MetaWeight.Allocation;

/// <summary>
/// One threshold λ for all exits: a sample leaves at the first exit whose score is <b>above</b> λ, else at the last one
/// (Jazbec et al., NeurIPS 2024, eq. 1). Scores are in [0, 1], so that nothing leaves early at λ = 1.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits.</remarks>
public sealed class SharedThreshold
{
    private readonly double[] _scores; // [N, K]
    private readonly double[] _losses; // [N, K]

    /// <param name="scores"><c>[N, K]</c>.</param>
    /// <param name="losses"><c>[N, K]</c>: what a sample loses where it leaves (<see cref="ExitRisk.Losses"/>).</param>
    public SharedThreshold(Tensor scores, Tensor losses)
    {
        (Samples, Exits) = ((int)scores.shape[0], (int)scores.shape[1]);
        (_scores, _losses) = (Numbers(scores), Numbers(losses));
    }

    /// <summary>N.</summary>
    public int Samples { get; }

    /// <summary>K.</summary>
    public int Exits { get; }

    /// <summary>
    /// The thresholds that risk control tries, which do not depend on any data: 1, then 1 − 10⁻⁶ … 1 − 10⁻³ in 60 logarithmic steps,
    /// because overconfident networks score most images above 0.999, then 0.998, 0.997, …, 0.
    /// </summary>
    public static IReadOnlyList<double> FineGrid { get; } =
        [1, .. Enumerable.Range(0, 61).Select(i => 1 - Math.Pow(10, -6 + (i / 20.0))), .. Grid(1000).Skip(2)];

    /// <summary>The thresholds 1, 1 − 1/steps, …, 0: a grid that does not depend on any data.</summary>
    public static double[] Grid(int steps) => [.. Enumerable.Range(0, steps + 1).Select(i => (steps - i) / (double)steps)];

    /// <summary>The policy of a threshold: a score is above λ if it is at least the smallest float above λ.</summary>
    /// <param name="criterion">The score.</param>
    /// <param name="threshold">λ.</param>
    /// <param name="exits">K.</param>
    public static ThresholdPolicy Policy(IExitCriterion criterion, double threshold, int exits)
    {
        float nearest = (float)threshold;
        float least = threshold >= 1 ? BudgetedInference.Never : nearest > threshold ? nearest : MathF.BitIncrement(nearest);
        return new ThresholdPolicy(criterion, [.. Enumerable.Repeat(least, exits - 1), BudgetedInference.Always]);
    }

    /// <summary>Where each sample leaves, N numbers of 0 … K − 1.</summary>
    public int[] ExitsAt(double threshold)
    {
        var exits = new int[Samples];
        for (int i = 0; i < exits.Length; i++)
        {
            while (exits[i] < Exits - 1 && !(_scores[(i * Exits) + exits[i]] > threshold))
            {
                exits[i]++;
            }
        }

        return exits;
    }

    /// <summary>What each sample loses, N numbers.</summary>
    public double[] LossesAt(double threshold) => [.. ExitsAt(threshold).Select((exit, sample) => Loss(sample, exit))];

    /// <summary>What a sample loses at an exit.</summary>
    /// <param name="sample">0 … N − 1.</param>
    /// <param name="exit">0 … K − 1.</param>
    public double Loss(int sample, int exit) => _losses[(sample * Exits) + exit];

    private static double[] Numbers(Tensor values)
    {
        using DisposeScope scope = NewDisposeScope();
        return values.to_type(float64).cpu().contiguous().data<double>().ToArray();
    }
}
