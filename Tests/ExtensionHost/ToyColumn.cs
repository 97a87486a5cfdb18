using Imta.MetaWeight.Experiments.Training;
using static TorchSharp.torch;

namespace ExtensionHost;

public static class ToyColumn
{
    /// <summary>The mean gap between the two largest logits.</summary>
    public static EpochColumn MarginMean { get; } = new(
        "margin_mean",
        "mean gap between a training sample's two largest logits",
        at => at.Samples.Mean,
        half =>
        {
            Tensor largest = half.Logits.topk(2, dim: -1).values; // [N, K, 2]
            return largest.select(2, 0) - largest.select(2, 1);
        });
}
