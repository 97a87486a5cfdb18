using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Meta;

/// <summary>
/// Results for a half batch, or a batch that is not cut, at θ before its update; tensors on the network's device, without history.
/// </summary>
/// <param name="CrossEntropies">Plain cross-entropies <c>[N, K]</c>.</param>
/// <param name="Losses">Training losses l <c>[N, K]</c>.</param>
/// <param name="Weights">The weights of the real update <c>[N, K]</c>; all 1 in plain training.</param>
/// <param name="Logits"><c>[N, K, C]</c>.</param>
/// <param name="Correct">Whether each exit's prediction is correct, bool <c>[N, K]</c>.</param>
/// <param name="Objective">The meta objective after the lookahead, or of Meta-GF's fused network, <c>[]</c>; null: there is none.</param>
public sealed record HalfBatchReport(Tensor CrossEntropies, Tensor Losses, Tensor Weights, Tensor Logits, Tensor Correct, Tensor? Objective)
{
    internal static HalfBatchReport Create(LabelledImages train, IForward forward, Tensor weights, Tensor? objective)
    {
        Tensor logits = stack(forward.Logits, 1); // [N, K, C]
        Tensor predicted = logits.argmax(2); // [N, K]
        return new HalfBatchReport(
            forward.CrossEntropies, forward.Losses, weights, logits, predicted.eq(train.Labels.unsqueeze(1)), objective);
    }

    internal HalfBatchReport MoveToOuter(DisposeScope scope)
    {
        scope.MoveToOuter(CrossEntropies);
        scope.MoveToOuter(Losses);
        scope.MoveToOuter(Weights);
        scope.MoveToOuter(Logits);
        scope.MoveToOuter(Correct);
        if (Objective is { } objective)
        {
            scope.MoveToOuter(objective);
        }

        return this;
    }
}
