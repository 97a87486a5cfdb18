using System.ComponentModel;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;
using static Imta.MetaWeight.Backbones.Kernels.HeldScalars;
using static TorchSharp.torch;

namespace ExtensionHost;

public sealed record OwnSamplesOptions
{
    [Description("Whether batches are split into halves")]
    public bool Halves { get; init; }
}

/// <summary><c>meta.weights=ownSamples</c>: a sample contributes only at the exit that <c>meta.q</c> allocates it to.</summary>
public sealed class OwnSamples(OwnSamplesOptions own, MetaOptions meta) : ISampleWeighting
{
    public static WeightingMethod Method { get; } = WeightingMethod.Create<OwnSamplesOptions>(
        "ownSamples", learns: false, (own, meta, _, _) => new OwnSamples(own, meta), cutsBatch: own => own.Halves, allocates: true);

    public string Description => "each exit's own samples";

    public bool CutsBatch => own.Halves;

    public Tensor Features(IForward forward) => Confidence.PerSample(forward.Logits); // [N, K]

    public Tensor Weights(Tensor features)
    {
        int[] quotas = ExitShares.Quotas(ExitShares.FromQ(meta.Q, (int)features.shape[1]), features.shape[0]);
        return MetaAllocation.Weights(MetaAllocation.Exits(features, quotas), quotas, features.dtype).mul(Held(features.shape[0]));
    }
}
