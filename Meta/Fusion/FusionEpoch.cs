namespace Imta.MetaWeight.Meta.Fusion;

/// <summary>What Meta-GF's fusion stores during an epoch.</summary>
/// <param name="WeightsBefore">w at its start.</param>
/// <param name="Start">θ.</param>
/// <param name="Displacements">θ_k − θ, 0 before the end of a pass, <c>[K, S]</c> for each parameter.</param>
/// <param name="Reach">1 where an exit's loss depends on a parameter, <c>[parameters, K]</c>.</param>
internal sealed record FusionEpoch(Tensor[] WeightsBefore, Tensor[] Start, Tensor[] Displacements, Tensor Reach) : IDisposable
{
    /// <summary>How many exits reach a parameter.</summary>
    public double[] Exits { get; } = [.. Reach.sum([1]).to_type(float64).cpu().data<double>()];

    public void Dispose()
    {
        foreach (Tensor tensor in (Tensor[])[.. WeightsBefore, .. Start, .. Displacements, Reach])
        {
            tensor.Dispose();
        }
    }
}
