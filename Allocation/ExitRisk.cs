namespace Imta.MetaWeight.Allocation;

/// <summary>
/// What an early prediction loses compared with that of the full network, the last exit (Jazbec et al., "Fast yet Safe: Early-Exiting with
/// Risk Control", NeurIPS 2024, section 3). The loss of sample i at exit k is ℓ_ik − ℓ_iK, which is 0 at the last exit and negative where
/// the early prediction is the better one; the risk of a threshold is its expectation at the exits where samples leave.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes. p_ik: probabilities; ŷ_ik: the predicted class.</remarks>
public sealed class ExitRisk
{
    private readonly bool _againstLabel;

    private ExitRisk(string name, string meaning, bool againstLabel, bool isBinary)
        => (Name, Meaning, _againstLabel, IsBinary) = (name, meaning, againstLabel, isBinary);

    /// <summary>Performance gap, 0/1: ℓ = 1[ŷ_ik ≠ y_i]; the accuracy that leaving early gives up.</summary>
    public static ExitRisk Gap { get; } = new(
        "gap", "accuracy lost compared with the last exit", againstLabel: true, isBinary: true);

    /// <summary>Inconsistency, 0/1: ℓ = 1[ŷ_ik ≠ ŷ_iK]; needs no labels.</summary>
    public static ExitRisk Consistency { get; } = new(
        "consistency", "share of answers that differ from the last exit's", againstLabel: false, isBinary: true);

    /// <summary>Performance gap of the Brier score: ℓ = Σ_c (p_ikc − 1[c = y_i])².</summary>
    public static ExitRisk BrierGap { get; } = new(
        "brier-gap", "increase in the Brier score compared with the last exit", againstLabel: true, isBinary: false);

    /// <summary>Inconsistency by the Brier score, with the full network's class ŷ_iK as the label; needs no labels.</summary>
    public static ExitRisk BrierConsistency { get; } = new(
        "brier-consistency", "increase in the Brier score compared with the last exit, whose classes are the labels", againstLabel: false,
        isBinary: false);

    /// <summary>All risks, the default first.</summary>
    public static IReadOnlyList<ExitRisk> All { get; } = [Gap, Consistency, BrierGap, BrierConsistency];

    /// <summary>Its name in files and on the command line.</summary>
    public string Name { get; }

    /// <summary>What it is, as a part of a sentence.</summary>
    public string Meaning { get; }

    /// <summary>Whether every loss is −1, 0 or 1.</summary>
    public bool IsBinary { get; }

    /// <summary>B: losses are at most B and at least −B; a Brier score lies in [0, 2].</summary>
    public double Bound => IsBinary ? 1 : 2;

    /// <summary>The loss of each sample at each exit, float64 <c>[N, K]</c>.</summary>
    /// <param name="probabilities"><c>[N, K, C]</c>.</param>
    /// <param name="labels">int64 <c>[N]</c>.</param>
    public Tensor Losses(Tensor probabilities, Tensor labels)
    {
        using DisposeScope scope = NewDisposeScope();
        (long samples, long exits) = (probabilities.shape[0], probabilities.shape[1]);
        Tensor classes = probabilities.argmax(2); // [N, K]
        Tensor target = _againstLabel ? labels.unsqueeze(1) : classes.narrow(1, exits - 1, 1); // [N, 1]
        Tensor scores = IsBinary ? classes.ne(target).to_type(float64) : Brier(probabilities, target.expand(samples, exits));
        return scope.MoveToOuter(scores.sub(scores.narrow(1, exits - 1, 1)));
    }

    /// <summary>Σ_c (p_c − 1[c = t])² = Σ_c p_c² − 2 p_t + 1, float64 <c>[N, K]</c>.</summary>
    private static Tensor Brier(Tensor probabilities, Tensor target)
    {
        Tensor of = probabilities.to_type(float64); // [N, K, C]
        Tensor ofTarget = of.gather(2, target.unsqueeze(2)).squeeze(2); // [N, K]
        return of.mul(of).sum(2).sub(ofTarget.mul(Held(2))).add(Held(1), One);
    }
}
