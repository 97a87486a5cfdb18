using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>
/// How a guarantee fares where it can be looked at: the threshold is chosen on many random samples of labelled images, and its risk is
/// that of the images left over (as figures of Jazbec et al., NeurIPS 2024).
/// </summary>
/// <param name="Splits">The number of samples.</param>
/// <param name="Calibrating">The images of each.</param>
/// <param name="Images">The images they are drawn from.</param>
/// <param name="Violations">The share of splits in which the other images' risk is above ε.</param>
/// <param name="Risk">The mean risk of the other images.</param>
/// <param name="Early">The mean share of images that leave before the last exit.</param>
/// <param name="MeanMacs">The mean multiply-adds of an image.</param>
internal sealed record RiskCoverage(
    int Splits, int Calibrating, int Images, double Violations, double Risk, double Early, double MeanMacs)
{
    /// <summary>Repeats the calibration.</summary>
    /// <param name="target">The guarantee.</param>
    /// <param name="images">N labelled images that did not train the network.</param>
    /// <param name="macs">K multiply-adds up to each exit.</param>
    /// <param name="calibrating">The size of a sample, below N.</param>
    /// <param name="splits">How often.</param>
    /// <param name="seed">The run's.</param>
    /// <param name="advance">Called after each.</param>
    public static RiskCoverage Measure(
        RiskTarget target, SharedThreshold images, IReadOnlyList<long> macs, int calibrating, int splits, long seed, Action advance)
    {
        double[] grid = SharedThreshold.FineGrid;
        var known = new Threshold?[grid.Length]; // most are far below what any sample reaches
        Threshold At(int index) => known[index] ??= new Threshold(images, grid[index], macs);

        using Generator random = SeedSequence.Generator(seed, SeedSequence.Coverage);
        int others = images.Samples - calibrating, violations = 0;
        double risk = 0, early = 0, cost = 0;
        for (int split = 0; split < splits; split++)
        {
            int[] sample = Sample(images.Samples, calibrating, random);
            double[] Own(int index) => Array.ConvertAll(sample, image => At(index).Losses[image]);
            int found = RiskControl.Choose(target, grid.Length, Own).Index;
            double left = (At(found).Losses.Sum() - Own(found).Sum()) / others;
            violations += left > target.Epsilon ? 1 : 0;
            (risk, early, cost) = (risk + left, early + At(found).Early, cost + At(found).MeanMacs);
            advance();
        }

        return new RiskCoverage(
            splits, calibrating, images.Samples, (double)violations / splits, risk / splits, early / splits, cost / splits);
    }

    /// <summary>What was found, for people.</summary>
    /// <param name="target">The guarantee.</param>
    /// <param name="full">Multiply-adds of the last exit.</param>
    public string Describe(RiskTarget target, long full)
    {
        string allowed = target.Delta is { } delta
            ? FormattableString.Invariant($"above {target.Epsilon} in {100 * Violations:0.0} % of splits ({100 * delta:0.#} % are allowed)")
            : FormattableString.Invariant($"{target.Epsilon} are allowed on average");
        double cost = 100 * MeanMacs / full;
        string samples = FormattableString.Invariant($"over {Splits:N0} random samples of {Calibrating:N0} of the {Images:N0} test images");
        return FormattableString.Invariant($"coverage: {samples}, ")
            + FormattableString.Invariant($"the risk of the others is {Risk:0.0000} on average, {allowed}; ")
            + FormattableString.Invariant($"{100 * Early:0.0} % leave early, with {cost:0.0} % of the last exit's multiply-adds");
    }

    private static int[] Sample(int images, int size, Generator random)
    {
        using DisposeScope scope = NewDisposeScope();
        return randperm(images, int32, generator: random).narrow(0, 0, size).data<int>().ToArray();
    }

    /// <summary>What a threshold does to all images.</summary>
    private sealed class Threshold
    {
        public Threshold(SharedThreshold images, double threshold, IReadOnlyList<long> macs)
        {
            int[] exits = images.ExitsAt(threshold);
            Losses = images.LossesAt(threshold);
            Early = exits.Count(exit => exit < macs.Count - 1) / (double)exits.Length;
            MeanMacs = exits.Average(exit => (double)macs[exit]);
        }

        public double[] Losses { get; }

        public double Early { get; }

        public double MeanMacs { get; }
    }
}
