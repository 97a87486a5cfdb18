using System.Security.Cryptography;
using System.Text;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>Finds the policy of a network on validation images.</summary>
/// <param name="Network">The network.</param>
/// <param name="Validation">Its predictions for the images, with the scores of <paramref name="Criterion"/>.</param>
/// <param name="Normalisation">The normalisation of its input.</param>
/// <param name="Criterion">The score.</param>
internal sealed record PolicyCalibration(
    TrainedNetwork Network, Predictions Validation, Normalisation Normalisation, IExitCriterion Criterion)
{
    /// <summary>Thresholds for shares of the images at each exit.</summary>
    /// <param name="shares">K, which sum to 1.</param>
    public PolicyFile ForShares(float[] shares)
        => Create(Calibration.ToShares(Criterion, Validation.Scores, shares), new PolicyBudget(null, null, shares));

    /// <summary>Thresholds with the highest average cost within a budget of multiply-adds, which must cover at least exit 1.</summary>
    public PolicyFile ForMacs(double macs)
    {
        (int[] quotas, double? q) = Calibration.QuotasForMacs(Validation.Scores, Network.Macs, macs);
        float[] shares = Array.ConvertAll(quotas, quota => (float)quota / Validation.Set.Count);
        return Create(Calibration.ToQuotas(Criterion, Validation.Scores, quotas), new PolicyBudget(macs, q, shares));
    }

    /// <summary>Thresholds with the best accuracy within an average budget of multiply-adds.</summary>
    public PolicyFile ForAccuracy(double macs)
    {
        using DisposeScope scope = NewDisposeScope();
        ThresholdPolicy found = Best(Validation.Scores, Validation.Correct);
        CrossFitting best = CrossFitted(Best), geometric = CrossFitted((scores, _) => Calibration.ToQuotas(
            Criterion, scores, Calibration.QuotasForMacs(scores, Network.Macs, macs).Quotas));
        var search = new PolicySearch(
            "accuracy", best.FittedAccuracy, best.OtherAccuracy, best.OtherMacs, geometric.FittedAccuracy, geometric.OtherAccuracy);
        float[] shares = [.. found.Apply(Validation.Scores, Validation.Correct).Shares.Select(share => (float)share)];
        return Create(found, new PolicyBudget(macs, null, shares, search));

        ThresholdPolicy Best(Tensor scores, Tensor correct) => ThresholdSearch.Maximise(Criterion, scores, correct, Network.Macs, macs);

        CrossFitting CrossFitted(Func<Tensor, Tensor, ThresholdPolicy> fit)
            => CrossFitting.Fit(fit, Validation.Scores, Validation.Correct, Network.Macs, Order());
    }

    /// <summary>One threshold for all exits, with a bounded risk; needs the predictions' <see cref="Predictions.RiskLosses"/>.</summary>
    public PolicyFile ForRisk(RiskTarget target)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor order = Order();
        var images = new SharedThreshold(Validation.Scores.index_select(0, order), Validation.RiskLosses!.index_select(0, order));
        IReadOnlyList<double> grid = SharedThreshold.FineGrid;
        ControlledThreshold found = RiskControl.Choose(target, grid.Count, at => images.LossesAt(grid[at]));
        double threshold = grid[found.Index];
        return Create(SharedThreshold.Policy(Criterion, threshold, images.Exits), budget: null) with
        {
            Guarantee = new PolicyGuarantee(
                target.Risk.Name,
                target.Epsilon,
                target.Delta,
                PolicyGuarantee.NameOf(target.Method),
                found.Index == 0 ? null : threshold,
                images.Samples,
                found.Risk,
                found.Bound),
        };
    }

    /// <summary>
    /// A random order of the images, which depends only on the run's seed; their own order may be by class.
    /// </summary>
    private Tensor Order()
    {
        using Generator random = SeedSequence.Generator(Network.Settings.Seed, SeedSequence.Calibration);
        return randperm(Validation.Set.Count, int64, generator: random);
    }

    private PolicyFile Create(IExitPolicy policy, PolicyBudget? budget)
    {
        using DisposeScope scope = NewDisposeScope();
        BudgetedOutcome outcome = policy.Apply(Validation.Scores, Validation.Correct);
        return new PolicyFile(
            policy,
            budget,
            new PolicyValidation(
                outcome.Samples, Hash(Validation.Set), outcome.Shares, outcome.Accuracy, outcome.MeanMacs(Network.Macs)),
            Network.Macs,
            PolicyFile.NameOf(Network.Settings),
            Normalisation,
            Validation.Set.ClassNames,
            Network.Hash);
    }

    /// <summary>
    /// SHA-256 of a set's positions, labels and images, in its order; for image files, of their paths below the data set's folder instead
    /// of the images, one per line.
    /// </summary>
    private static string Hash(ImageSet set)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(set.SourceIndices.bytes);
        hash.AppendData(set.Labels.bytes);
        if (set.Files is { } files)
        {
            IEnumerable<string> lines = set.SourceIndices.ToArray<long>().Select(number => files.Names[(int)number] + "\n");
            hash.AppendData(Encoding.UTF8.GetBytes(string.Concat(lines)));
        }
        else
        {
            hash.AppendData(set.Images.bytes);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
