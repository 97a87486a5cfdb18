using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Verification;

namespace Imta.MetaWeight.Tests.Backbones.Linearised;

/// <summary>
/// A linearised pass of a network, a random direction u of its parameters and random ∂/∂logits g, with what they have to give.
/// </summary>
internal sealed class Probe
{
    private const double Step = 1e-8;
    private const double Rounding = 1e-13; // as a share of the whole gradient

    private readonly MultiExitNetwork _network;
    private readonly Tensor _images;

    public Probe(MultiExitNetwork network, Tensor images, Generator random)
    {
        (_network, _images) = (network, images);
        Pass = network.Linearise(images, parameters: null, NormStatistics.Batch);
        U = [.. network.Parameters.Select(parameter => (Tensor?)randn(parameter.shape, float64, generator: random))];
        G = [.. Pass.Logits.Select(z => randn(z.shape, float64, generator: random))];
    }

    public LinearisedPass Pass { get; }

    /// <summary>u, null where a parameter stays.</summary>
    public Tensor?[] U { get; }

    public Tensor[] G { get; }

    /// <summary>J·u.</summary>
    public Tensor[] Tangent() => Pass.Tangent(U);

    /// <summary>Jᵀ·g.</summary>
    public IReadOnlyList<Tensor?> Gradient() => Pass.Gradient([.. G.Select(g => g.clone())]);

    /// <summary>How far ⟨J·u, g⟩ and ⟨u, Jᵀ·g⟩ are apart, as a share of ‖J·u‖ ‖g‖.</summary>
    public double Asymmetry()
    {
        Tensor[] tangent = Tangent();
        double difference = InnerProduct(tangent, G) - InnerProduct(Gradient(), U);
        return Math.Abs(difference) / Math.Sqrt(InnerProduct(tangent, tangent) * InnerProduct(G, G));
    }

    /// <summary>How far the logits are from those of an ordinary forward pass.</summary>
    public double ErrorOfLogits() => GoldenFile.RelativeError(Values(Pass.Logits), Values(_network.Forward(_images, NormStatistics.Batch)));

    /// <summary>How far the tangent is from a central difference of ordinary forward passes.</summary>
    public double ErrorOfTangentByDifferences()
    {
        using IDisposable noGrad = no_grad();
        double[] slopes = [.. Values(LogitsAt(Step)).Zip(Values(LogitsAt(-Step)), (ahead, behind) => (ahead - behind) / (2 * Step))];
        return GoldenFile.RelativeError(Values(Tangent()), slopes);
    }

    /// <summary>How far the tangent is from libtorch's, which is the gradient by g of ⟨Jᵀ·g, u⟩.</summary>
    public double ErrorOfTangent()
    {
        Tensor[] g = [.. G.Select(part => part.clone().requires_grad_())];
        IEnumerable<Tensor> terms = GradientByAutograd(g, withHistory: true).Zip(U)
            .Where(pair => pair is { First: not null, Second: not null })
            .Select(pair => pair.First!.mul(pair.Second!).sum());
        IList<Tensor> tangent = autograd.grad([terms.Aggregate((a, b) => a.add(b, One))], g);
        return GoldenFile.RelativeError(Values(Tangent()), Values(tangent));
    }

    /// <summary>
    /// How far the gradient by any parameter is from libtorch's, as a share of its largest element, but at least of a thousandth of the
    /// whole gradient's; of the whole one's where it is zero but for rounding: by a bias in front of a batch norm. Infinite where only one
    /// of them is null.
    /// </summary>
    public double ErrorOfGradient()
    {
        IReadOnlyList<Tensor?> expected = GradientByAutograd(G, withHistory: false);
        double whole = Values(expected).Max(Math.Abs);
        return Gradient().Zip(expected, Error).Max();

        double Error(Tensor? own, Tensor? other)
        {
            if (own is null || other is null)
            {
                return own is null && other is null ? 0 : double.PositiveInfinity;
            }

            double[] values = GoldenFile.Values(other);
            double least = values.Max(Math.Abs) < Rounding * whole ? whole : 1e-3 * whole;
            return GoldenFile.RelativeError([.. GoldenFile.Values(own), least], [.. values, least]);
        }
    }

    public static double InnerProduct(IEnumerable<Tensor?> a, IEnumerable<Tensor?> b)
        => a.Zip(b).Where(pair => pair is { First: not null, Second: not null })
            .Sum(pair => pair.First!.mul(pair.Second!).sum().item<double>());

    public static double[] Values(IEnumerable<Tensor?> tensors) => [.. tensors.OfType<Tensor>().SelectMany(GoldenFile.Values)];

    private IReadOnlyList<Tensor?> GradientByAutograd(Tensor[] g, bool withHistory)
    {
        Tensor[] logits = _network.Forward(_images, NormStatistics.Batch);
        IList<Tensor> gradient = autograd.grad(
            [.. logits], [.. _network.Parameters], [.. g], create_graph: withHistory, retain_graph: withHistory, allow_unused: true);
        return [.. gradient.Select(part => part is { IsInvalid: false } ? part : null)];
    }

    private Tensor[] LogitsAt(double step)
        => _network.Forward(
            _images,
            [.. _network.Parameters.Zip(U, (parameter, u) => u is null ? parameter : parameter.add(u.mul(Held(step)), One))],
            NormStatistics.Batch);
}
