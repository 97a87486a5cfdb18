namespace Imta.MetaWeight.Allocation;

/// <summary>The score of a prediction, by which an exit policy decides.</summary>
public interface IExitCriterion
{
    /// <summary>Its name in files and on the command line.</summary>
    string Name { get; }

    /// <summary>
    /// The score of each prediction, finite: <c>[…, C]</c> → <c>[…]</c>. Thresholds are calibrated on scores in [0, 1], high where the
    /// network is confident.
    /// </summary>
    /// <param name="logits">Over classes in the last dimension.</param>
    Tensor Score(Tensor logits);
}

/// <summary>The largest softmax probability.</summary>
public static class Confidence
{
    /// <summary>The confidence of each sample at each exit, <c>[N, K]</c> in (0, 1].</summary>
    /// <param name="logits">K × <c>[N, C]</c>.</param>
    public static Tensor PerSample(IReadOnlyList<Tensor> logits) => MaxSoftmax(stack(logits, 1)); // [N, K]

    /// <summary>The largest softmax probability over the last dimension: <c>[…, C]</c> → <c>[…]</c>.</summary>
    internal static Tensor MaxSoftmax(Tensor logits) => logits.softmax(-1).max(-1).values;
}

/// <summary>The criteria of the threshold policy.</summary>
public static class ExitCriteria
{
    /// <summary>The largest softmax probability (MSDNet, L2W-DEN, IMTA).</summary>
    public static IExitCriterion Confidence { get; } = new ConfidenceCriterion();

    /// <summary>
    /// 1 − H/ln C, H the entropy of the softmax probabilities (BranchyNet leaves where H is low): 1 where one class has probability 1, 0
    /// where all classes are equally likely.
    /// </summary>
    public static IExitCriterion Entropy { get; } = new EntropyCriterion();

    /// <summary>All criteria, the default first.</summary>
    public static IReadOnlyList<IExitCriterion> All { get; } = [Confidence, Entropy];

    // A NaN cannot be compared with thresholds: 0 keeps its sample in the network.
    private static Tensor FiniteOr0(Tensor scores) => where(scores.isfinite(), scores, zeros_like(scores));

    private sealed class ConfidenceCriterion : IExitCriterion
    {
        public string Name => "confidence";

        public Tensor Score(Tensor logits)
        {
            using DisposeScope scope = NewDisposeScope();
            return scope.MoveToOuter(FiniteOr0(Allocation.Confidence.MaxSoftmax(logits)));
        }
    }

    private sealed class EntropyCriterion : IExitCriterion
    {
        public string Name => "entropy";

        public Tensor Score(Tensor logits)
        {
            using DisposeScope scope = NewDisposeScope();
            Tensor log = logits.log_softmax(-1);
            Tensor negative = log.exp().mul(log).sum(-1); // −H
            return scope.MoveToOuter(FiniteOr0(negative.div(Held(Math.Log(logits.shape[^1]))).add(Held(1), One).clamp(Held(0), Held(1))));
        }
    }
}
