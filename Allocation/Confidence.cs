namespace Imta.MetaWeight.Allocation;

/// <summary>How sure each exit is of its answer.</summary>
public static class Confidence
{
    /// <summary>The largest softmax probability of each sample at each exit, <c>[N, K]</c> in (0, 1].</summary>
    /// <param name="logits">K × <c>[N, C]</c>.</param>
    public static Tensor PerSample(IReadOnlyList<Tensor> logits) => Of(stack(logits, 1)); // [N, K]

    /// <summary>The largest softmax probability over the last dimension: <c>[…, C]</c> → <c>[…]</c>.</summary>
    internal static Tensor Of(Tensor logits) => logits.softmax(-1).max(-1).values;
}
