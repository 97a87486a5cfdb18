using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Tests.Backbones.Linearised;

/// <summary>Tangent and cotangent of every layer, in float64.</summary>
public sealed class LayerMapTests : IDisposable
{
    private static readonly long[][] Shapes = [[2, 3, 8, 8], [5, 4, 4, 6], [3, 2, 7, 5]];

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Generator _random = new(21);

    public static TheoryData<LayerKind, long[]> Layers
    {
        get
        {
            var layers = new TheoryData<LayerKind, long[]>();
            foreach (LayerKind kind in Enum.GetValues<LayerKind>())
            {
                Array.ForEach(Shapes, shape => layers.Add(kind, shape));
            }

            return layers;
        }
    }

    [Theory]
    [MemberData(nameof(Layers))]
    public void Value_tangent_and_cotangent_are_those_of_the_ordinary_forward(LayerKind kind, long[] shape)
    {
        Probe probe = Build(kind, shape);

        probe.ErrorOfLogits().Should().BeLessThan(1e-13);
        probe.ErrorOfTangent().Should().BeLessThan(1e-13);
        probe.ErrorOfTangentByDifferences().Should().BeLessThan(1e-6);
        probe.ErrorOfGradient().Should().BeLessThan(1e-12);
    }

    [Theory]
    [MemberData(nameof(Layers))]
    public void Tangent_and_cotangent_are_adjoint(LayerKind kind, long[] shape)
    {
        Probe probe = Build(kind, shape);

        Probe.InnerProduct(probe.Tangent(), probe.G).Should().NotBe(0);
        probe.Asymmetry().Should().BeLessThan(1e-14);
    }

    [Theory]
    [MemberData(nameof(Layers))]
    public void An_input_without_tangent_is_an_input_whose_tangent_is_zero(LayerKind kind, long[] shape)
    {
        using var random = new Generator(22);
        using var network = new ProbeNetwork(kind, shape, random, shifted: false);
        var probe = new Probe(network, randn(shape, float64, generator: random), random);

        if (network.Parameters.Count == 0)
        {
            Probe.Values(probe.Tangent()).Should().OnlyContain(change => change == 0, "nothing moves");
            return;
        }

        probe.ErrorOfTangent().Should().BeLessThan(1e-13);
        probe.ErrorOfGradient().Should().BeLessThan(1e-12);
        probe.Asymmetry().Should().BeLessThan(1e-14);
    }

    [Theory]
    [MemberData(nameof(Layers))]
    public void A_parameter_without_tangent_is_one_whose_tangent_is_zero(LayerKind kind, long[] shape)
    {
        Probe probe = Build(kind, shape);
        double[] all = Probe.Values(probe.Tangent());
        double most = all.Max(Math.Abs);
        double[][] alone = [.. probe.U.Select((_, p) => Along(q => q == p))];

        // A tangent is linear in the direction: it is the sum of those of each part alone, and without a part it is what is left.
        Distance(all, [.. all.Select((_, i) => alone.Sum(part => part[i]))]).Should().BeLessThan(1e-13 * most);
        alone.Select((part, p) => Distance(Along(q => q != p), [.. all.Zip(part, (whole, own) => whole - own)]))
            .Should().OnlyContain(distance => distance < 1e-13 * most);
        Along(_ => false).Should().OnlyContain(change => change == 0);

        double[] Along(Func<int, bool> moves) => Probe.Values(probe.Pass.Tangent([.. probe.U.Select((u, p) => moves(p) ? u : null)]));

        static double Distance(double[] a, double[] b) => a.Zip(b, (x, y) => Math.Abs(x - y)).Max();
    }

    [Theory]
    [MemberData(nameof(Layers))]
    public void A_pass_may_be_applied_and_transposed_again_and_again(LayerKind kind, long[] shape)
    {
        Probe probe = Build(kind, shape);
        (double[] tangent, double[] gradient) = (Probe.Values(probe.Tangent()), Probe.Values(probe.Gradient()));
        double[] g = Probe.Values(probe.G), u = Probe.Values(probe.U);

        Probe.Values(probe.Gradient()).Should().Equal(gradient);
        Probe.Values(probe.Tangent()).Should().Equal(tangent);
        Probe.Values(probe.Pass.Gradient([.. probe.G.Select(part => part.clone())], last: true)).Should().Equal(gradient);
        Probe.Values(probe.G).Should().Equal(g);
        Probe.Values(probe.U).Should().Equal(u);
    }

    public void Dispose()
    {
        _random.Dispose();
        _scope.Dispose();
    }

    private Probe Build(LayerKind kind, long[] shape)
        => new(new ProbeNetwork(kind, shape, _random), randn(shape, float64, generator: _random), _random);
}
