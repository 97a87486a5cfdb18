using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Tests.Meta;

/// <summary>A forward pass of known values, which nothing differentiates.</summary>
public sealed record FixedForward(IReadOnlyList<Tensor> Logits, Tensor CrossEntropies) : IForward
{
    public Tensor Losses => CrossEntropies;

    public IReadOnlyList<Tensor?> Gradient(Tensor cotangent) => throw new NotSupportedException();
}
