namespace Imta.MetaWeight.Allocation;

/// <summary>A sample leaves at the first exit whose score reaches the exit's threshold, at the last exit in any case.</summary>
/// <param name="Criterion">The score.</param>
/// <param name="Thresholds">K; above 1 nobody leaves, at 0 or below everybody.</param>
public sealed record ExitPolicy(IExitCriterion Criterion, IReadOnlyList<float> Thresholds)
{
    /// <summary>Which samples leave at an exit, bool <c>[N]</c>.</summary>
    /// <param name="exit">0 … K − 1.</param>
    /// <param name="logits"><c>[N, C]</c>.</param>
    public Tensor Leaves(int exit, Tensor logits)
    {
        using DisposeScope scope = NewDisposeScope();
        return scope.MoveToOuter(Criterion.Score(logits).ge(Thresholds[exit]));
    }

    /// <summary>The exit of each sample, int64 <c>[N]</c> of 0 … K − 1, given the scores of all exits.</summary>
    /// <param name="scores"><c>[N, K]</c>.</param>
    public Tensor Exits(Tensor scores)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor thresholds = tensor(Thresholds.ToArray(), scores.dtype, scores.device);
        Tensor reached = scores.ge(thresholds).to_type(int64); // [N, K]
        Tensor before = reached.cumsum(1).eq(0).to_type(int64).sum(1); // exits before the first one that is reached
        return scope.MoveToOuter(before.clamp(max: Thresholds.Count - 1));
    }
}
