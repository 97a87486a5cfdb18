namespace Imta.MetaWeight.Losses;

/// <summary>Cross-entropy per sample and exit.</summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
public static class CrossEntropy
{
    /// <summary>l <c>[N, K]</c>: −log softmax(z)[label] of each sample at each exit.</summary>
    /// <param name="logits">K × <c>[N, C]</c>.</param>
    /// <param name="labels">Class indices, int64 <c>[N]</c>.</param>
    public static Tensor PerSample(IReadOnlyList<Tensor> logits, Tensor labels)
    {
        Tensor logProbabilities = stack(logits, 1).log_softmax(2); // [N, K, C]
        Tensor ofLabel = labels.view(-1, 1, 1).expand(-1, logits.Count, 1); // [N, K, 1]
        return logProbabilities.gather(2, ofLabel).squeeze(2).neg(); // [N, K]
    }
}
