namespace Imta.MetaWeight.Losses;

/// <summary>Cross-entropy per sample and exit.</summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
public static class CrossEntropy
{
    /// <summary>−log softmax(z)[label] of each sample at each exit, <c>[N, K]</c>.</summary>
    /// <param name="logits">K × <c>[N, C]</c>.</param>
    /// <param name="labels">Class indices, int64 <c>[N]</c>.</param>
    public static Tensor PerSample(IReadOnlyList<Tensor> logits, Tensor labels) => FromLogProbabilities(LogProbabilities(logits), labels);

    /// <summary>log softmax(z), <c>[N, K, C]</c>.</summary>
    internal static Tensor LogProbabilities(IReadOnlyList<Tensor> logits) => stack(logits, 1).log_softmax(2);

    internal static Tensor FromLogProbabilities(Tensor logProbabilities, Tensor labels)
    {
        Tensor ofLabel = labels.view(-1, 1, 1).expand(-1, logProbabilities.shape[1], 1); // [N, K, 1]
        return logProbabilities.gather(2, ofLabel).squeeze(2).neg(); // [N, K]
    }
}
