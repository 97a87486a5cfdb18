namespace Imta.MetaWeight.Allocation;

/// <summary>By what samples leave: those of a high score leave early.</summary>
public interface IExitCriterion
{
    /// <summary>Its name in files and on the command line.</summary>
    string Name { get; }

    /// <summary>The score of each answer, in [0, 1], 0 where it is no finite number: <c>[…, C]</c> → <c>[…]</c>.</summary>
    /// <param name="logits">Over classes in the last dimension.</param>
    Tensor Score(Tensor logits);
}

/// <summary>The criteria that there are.</summary>
public static class ExitCriteria
{
    /// <summary>The largest softmax probability (MSDNet, L2W-DEN, IMTA).</summary>
    public static IExitCriterion Confidence { get; } = new ConfidenceCriterion();

    /// <summary>1 − H/ln C, H the entropy of the softmax probabilities (BranchyNet leaves where H is low): 1 where one class has all, 0 where all are equal.</summary>
    public static IExitCriterion Entropy { get; } = new EntropyCriterion();

    /// <summary>All of them, the default first.</summary>
    public static IReadOnlyList<IExitCriterion> All { get; } = [Confidence, Entropy];

    // Numbers that are none would compare with no threshold, and their samples would leave nowhere.
    private static Tensor FiniteOr0(Tensor scores) => where(scores.isfinite(), scores, zeros_like(scores));

    private sealed class ConfidenceCriterion : IExitCriterion
    {
        public string Name => "confidence";

        public Tensor Score(Tensor logits)
        {
            using DisposeScope scope = NewDisposeScope();
            return scope.MoveToOuter(FiniteOr0(Allocation.Confidence.Of(logits)));
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
            return scope.MoveToOuter(FiniteOr0(negative.div(Math.Log(logits.shape[^1])).add(1).clamp(0, 1)));
        }
    }
}
