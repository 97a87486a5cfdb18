namespace Imta.MetaWeight.Allocation;

/// <summary>
/// A guarantee checked by simulation: thresholds are calibrated on many samples of labelled images, and their risk is computed on all
/// images of a set that stands for the distribution (as in the coverage figures of Jazbec et al., NeurIPS 2024).
/// </summary>
/// <param name="Violations">The share of samples whose threshold has a risk above ε: at most about δ for the methods with a δ.</param>
/// <param name="Risk">The mean risk of the thresholds: at most about ε for conformal control.</param>
/// <param name="Error">Its standard error over the samples.</param>
/// <param name="Shares">The mean share of images that leave at each exit, K numbers.</param>
public sealed record RiskCoverage(double Violations, double Risk, double Error, IReadOnlyList<double> Shares)
{
    /// <summary>Repeats the calibration.</summary>
    /// <param name="target">The guarantee.</param>
    /// <param name="drawn">The images that are drawn, independently and with replacement.</param>
    /// <param name="population">The images on which the risk is computed; the same, unless the guarantee is meant to fail.</param>
    /// <param name="grid">G thresholds that fall from 1.</param>
    /// <param name="samples">n, the size of a sample.</param>
    /// <param name="repetitions">The number of samples.</param>
    /// <param name="random">Draws the samples.</param>
    /// <param name="advance">Called after each repetition; null: nothing.</param>
    public static RiskCoverage Measure(
        RiskTarget target,
        SharedThreshold drawn,
        SharedThreshold population,
        IReadOnlyList<double> grid,
        int samples,
        int repetitions,
        Generator random,
        Action? advance = null)
    {
        var exits = new int[grid.Count][]; // of the drawn images, at thresholds that have been tried
        var outcomes = new Dictionary<int, (double Risk, double[] Shares)>();
        var risks = new double[repetitions];
        var shares = new double[population.Exits];
        for (int repetition = 0; repetition < repetitions; repetition++)
        {
            int[] images = Draw(drawn.Samples, samples, random);
            int found = RiskControl.Choose(target, grid.Count, LossesAt).Index;
            if (!outcomes.TryGetValue(found, out (double Risk, double[] Shares) outcome))
            {
                outcomes[found] = outcome = Outcome(population, grid[found]);
            }

            risks[repetition] = outcome.Risk;
            shares = [.. shares.Zip(outcome.Shares, (sum, share) => sum + (share / repetitions))];
            advance?.Invoke();

            double[] LossesAt(int at)
            {
                exits[at] ??= drawn.ExitsAt(grid[at]);
                return Array.ConvertAll(images, image => drawn.Loss(image, exits[at][image]));
            }
        }

        double mean = risks.Average(), variance = risks.Average(risk => (risk - mean) * (risk - mean));
        return new RiskCoverage(
            risks.Count(risk => risk > target.Epsilon) / (double)repetitions, mean, Math.Sqrt(variance / repetitions), shares);
    }

    private static int[] Draw(int images, int samples, Generator random)
    {
        using DisposeScope scope = NewDisposeScope();
        return randint(0, images, [samples], int32, generator: random).data<int>().ToArray();
    }

    private static (double Risk, double[] Shares) Outcome(SharedThreshold images, double threshold)
    {
        int[] exits = images.ExitsAt(threshold);
        return (
            exits.Select((exit, image) => images.Loss(image, exit)).Average(),
            [.. Enumerable.Range(0, images.Exits).Select(k => exits.Count(exit => exit == k) / (double)exits.Length)]);
    }
}
