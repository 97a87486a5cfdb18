using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Tests.Backbones.Linearised;

namespace Imta.MetaWeight.Tests.Backbones.Exits;

/// <summary>Boosted exits (BoostNet).</summary>
public sealed class BoostingTests
{
    private static readonly BoostingOptions Ramp = new() { Enabled = true, Reweighting = 0.2, LastReweighting = 0.8 };

    [Theory]
    [InlineData(NormStatistics.Batch, new[] { 0.2, 0.5 })] // in training the factor of the exit before
    [InlineData(NormStatistics.Running, new[] { 0.5, 0.8 })]
    public void An_exit_adds_to_the_reweighted_sum_of_those_before_it(NormStatistics statistics, double[] factors)
    {
        using DisposeScope scope = NewDisposeScope();
        (MultiExitNetwork plain, MultiExitNetwork boosted, Tensor images) = Pair();

        double[][] outputs = [.. plain.Forward(images, statistics).Select(GoldenFile.Values)];
        double[][] sums = [.. boosted.Forward(images, statistics).Select(GoldenFile.Values)];

        sums[0].Should().Equal(outputs[0]);
        for (int k = 1; k < sums.Length; k++)
        {
            double[] expected = [.. outputs[k].Zip(sums[k - 1], (output, earlier) => output + (factors[k - 1] * earlier))];
            GoldenFile.RelativeError(sums[k], expected).Should().BeLessThan(1e-14, $"at exit {k + 1}");
        }
    }

    [Fact]
    public void The_loss_of_an_exit_reaches_no_head_before_it()
    {
        using DisposeScope scope = NewDisposeScope();
        (_, MultiExitNetwork boosted, Tensor images) = Pair();
        LinearLayers(boosted).Should().HaveCount(boosted.Exits);

        for (int k = 0; k < boosted.Exits; k++)
        {
            Tensor loss = boosted.Forward(images, NormStatistics.Batch)[k].sum();
            bool[] reached = [.. LinearLayers(boosted).Select(p =>
                MetaWeight.Meta.Gradients.Autograd.Gradients("the loss", [loss], null, [boosted.Parameters[p]], retainGraph: true)[0]
                    is not null)];
            reached.Should().Equal(Enumerable.Range(0, boosted.Exits).Select(j => j == k));
        }
    }

    [Fact]
    public void The_linearised_pass_and_autograd_stop_alike()
    {
        using DisposeScope scope = NewDisposeScope();
        (_, MultiExitNetwork boosted, Tensor images) = Pair();
        using var random = new Generator(8);
        var probe = new Probe(boosted, images, random);

        probe.ErrorOfLogits().Should().BeLessThan(1e-12);
        probe.ErrorOfGradient().Should().BeLessThan(1e-10);
        probe.ErrorOfTangent().Should().BeLessThan(1e-10);
        probe.Asymmetry().Should().BeLessThan(1e-12);
        boosted.HasTrueGradients.Should().BeFalse();
    }

    private static IEnumerable<int> LinearLayers(MultiExitNetwork network) => Enumerable.Range(0, network.ParameterNames.Count)
        .Where(p => network.ParameterNames[p].EndsWith("linear.weight", StringComparison.Ordinal));

    private static (MultiExitNetwork Plain, MultiExitNetwork Boosted, Tensor Images) Pair()
    {
        using var random = new Generator(5);
        MultiExitNetwork plain = SmallMsdNet.Build(float64, random, blocks: 3);
        MultiExitNetwork boosted = SmallMsdNet.Build(float64, random, new ModifierOptions { Boosting = Ramp }, blocks: 3);
        boosted.load_state_dict(plain.state_dict());
        return (plain, boosted, randn([4, 3, 32, 32], float64, generator: random));
    }
}
