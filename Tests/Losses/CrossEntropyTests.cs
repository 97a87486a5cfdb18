using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Tests.Losses;

public sealed class CrossEntropyTests
{
    [Fact]
    public void Losses_of_each_sample_at_each_exit_are_libtorchs_cross_entropy()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(3);
        Tensor[] logits = [.. Enumerable.Range(0, 3).Select(_ => randn([6, 4], float64, generator: random))];
        Tensor labels = randint(4, [6], int64, generator: random);

        Tensor losses = CrossEntropy.PerSample(logits, labels); // [6, 3]

        losses.shape.Should().Equal(6, 3);
        for (int k = 0; k < logits.Length; k++)
        {
            double[] expected = nn.functional.cross_entropy(logits[k], labels, reduction: nn.Reduction.None).data<double>().ToArray();
            GoldenFile.RelativeError(losses.select(1, k).data<double>().ToArray(), expected).Should().BeLessThan(1e-14);
        }
    }

    [Fact]
    public void The_gradient_by_the_logits_is_softmax_minus_one_hot()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor logits = tensor([1.0, -2.0, 0.5, 3.0, 0.0, 0.0], [2, 3]).requires_grad_();
        Tensor oneHot = tensor([0.0, 0.0, 1.0, 1.0, 0.0, 0.0], [2, 3]);
        CrossEntropy.PerSample([logits], tensor([2L, 0L])).sum().backward();

        double[] expected = logits.detach().softmax(1).sub(oneHot).data<double>().ToArray();
        GoldenFile.RelativeError(logits.grad!.data<double>().ToArray(), expected).Should().BeLessThan(1e-14);
    }

    [Fact]
    public void Extreme_logits_give_finite_losses()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor logits = tensor([1000f, 0f, -1000f, 1000f], [2, 2]);

        CrossEntropy.PerSample([logits], tensor([1L, 1L])).data<float>().ToArray().Should().Equal(1000f, 0f);
    }
}
