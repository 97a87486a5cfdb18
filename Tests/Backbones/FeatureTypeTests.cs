using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Backbones.Ra;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>
/// Features in bfloat16 between float32 parameters and float32 losses: 8 significant bits in each layer, and nothing else lost.
/// </summary>
/// <remarks>
/// In a fresh network roundings turn ReLUs over here and there, and how far that carries a gradient differs from one processor to the next.
/// The networks here have each ReLU wide open or shut, so rounding is all that happens to them, and bounds follow from it.
/// </remarks>
[Collection(NativeMemoryCollection.Name)]
public sealed class FeatureTypeTests(ITestOutputHelper output)
{
    private const int Samples = 16;
    private const double Rate = 0.01;
    private const double Unit = 1.0 / 256; // the largest relative error of a rounding to bfloat16
    private const double Roundings = 16; // no path has more convolutions, and independent roundings add up by their squares
    private const float Open = 6; // deviations from where a ReLU turns over
    private static readonly double Bound = Math.Sqrt(Roundings) * Unit;
    private static readonly string[] Names = ["losses", "gradient by θ", "meta objective", "gradient by weights"];

    public static TheoryData<bool, MetaMemory> Networks
        => new() { { false, MetaMemory.Normal }, { false, MetaMemory.Low }, { true, MetaMemory.Normal }, { true, MetaMemory.Low } };

    /// <summary>
    /// Rounding reaches the meta gradient by one way: where the lookahead stands, which the training pass's own gradient says.
    /// </summary>
    [Theory]
    [MemberData(nameof(Networks))]
    public void From_the_lookahead_on_the_meta_gradient_is_that_of_float32(bool raNet, MetaMemory memory)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(5);
        using MultiExitNetwork half = Build(raNet, ScalarType.BFloat16, random), full = Build(raNet, null, new Generator(5));
        using var optimiser = new Sgd(half.named_parameters(), new TrainOptions());
        using var ofFull = new Sgd(full.named_parameters(), new TrainOptions());
        var options = new MetaOptions { Memory = memory };
        (LabelledImages train, LabelledImages meta) = (Batch(random), Batch(random));
        IMetaGradient method = MetaGradients.Create(options, half, optimiser, TrainingLoss.Plain);
        IForward forward = method.Forward(train);
        Tensor weights = ones_like(forward.Losses);
        IReadOnlyList<Tensor?> gradient = method.Forward(train).Gradient(weights.div(Held(Samples))); // G, of features in bfloat16

        MetaGradient found = method.WeightGradient(forward, weights, meta, Rate);

        Tensor[] leaves = [.. ofFull.Lookahead(gradient, Rate).Select(parameter => parameter.detach().requires_grad_())];
        Tensor objective = new MetaObjective(ExitShares.FromQ(options.Q, full.Exits))
            .Compute(full.Forward(meta.Images, leaves, NormStatistics.Batch), meta.Labels);
        Tensor?[] direction = ofFull.LookaheadDirection(
            gradient,
            [.. autograd.grad([objective], leaves, allow_unused: true).Select(part => part is { IsInvalid: false } ? part : null)], Rate);
        LinearisedPass pass = full.Linearise(train.Images, parameters: null, NormStatistics.Batch);
        Tensor[] logits = [.. pass.Logits.Select(z => z.detach().requires_grad_())];
        Tensor[] slopes = [.. autograd.grad([CrossEntropy.PerSample(logits, train.Labels).sum()], logits)];
        Tensor expected = stack(pass.Tangent(direction).Zip(slopes, (tangent, slope) => (tangent * slope).sum([1])), 1)
            .mul(Held(-1.0 / Samples));
        (double error, double ofObjective) = (RelativeNorm(found.GradWeights, expected), RelativeNorm(found.Objective, objective.detach()));
        output.WriteLine($"gradient {error}, objective {ofObjective}");
        error.Should().BeLessThan(1e-4);
        ofObjective.Should().BeLessThan(1e-5);
    }

    [Theory]
    [MemberData(nameof(Networks))]
    public void Losses_and_gradients_are_near_those_of_float32_and_not_those(bool raNet, MetaMemory memory)
    {
        (Tensor[] full, Tensor[] half) = (MetaStep(raNet, memory, null), MetaStep(raNet, memory, ScalarType.BFloat16));

        double[] errors = [.. half.Zip(full, RelativeNorm)];
        output.WriteLine(string.Join(", ", Names.Zip(errors, (name, error) => $"{name}: {error:e2}")));
        half.Should().OnlyContain(tensor => tensor.dtype == float32);
        errors.Should().OnlyContain(error => error < Bound);
        new[] { errors[0], errors[1], errors[3] }.Should().OnlyContain(error => error > 1e-5);
    }

    /// <summary>
    /// Convolutions take and give bfloat16, in their gradients too; whatever else shows the grid of bfloat16 was rounded once too often.
    /// </summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Nothing_but_convolutions_is_rounded(bool raNet)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(5);
        using MultiExitNetwork network = Build(raNet, ScalarType.BFloat16, random);
        LabelledImages batch = Batch(random);
        LinearisedPass pass = network.Linearise(batch.Images, parameters: null, NormStatistics.BatchAndUpdate);
        IReadOnlyList<Tensor?> gradient = pass.Gradient([.. pass.Logits.Select(logits => randn(logits.shape, generator: random))]);

        Tensor OfKind(Func<Tensor, bool> kind) => Flat(gradient.Where((_, i) => kind(network.Parameters[i])));
        OnGrid(Flat(pass.Logits)).Should().BeLessThan(0.5);
        OnGrid(Flat(network.Forward(batch.Images, NormStatistics.BatchAndUpdate))).Should().BeLessThan(0.5);
        OnGrid(OfKind(parameter => parameter.ndim == 4)).Should().Be(1);
        OnGrid(OfKind(parameter => parameter.ndim == 2)).Should().BeLessThan(0.5, "classifiers are float32");
        OnGrid(OfKind(parameter => parameter.ndim == 1)).Should().BeLessThan(0.5, "norms are float32");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_gradient_is_that_of_autograd_through_the_same_features(bool raNet)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor Gradient(ScalarType? type, bool linearised)
        {
            using var random = new Generator(5);
            using MultiExitNetwork network = Build(raNet, type, random);
            Tensor images = randn([Samples, 3, 32, 32], generator: random);
            Tensor[] g = [.. Enumerable.Range(0, network.Exits).Select(_ => randn([Samples, network.Classes], generator: random))];
            if (linearised)
            {
                return Flat(network.Linearise(images, parameters: null, NormStatistics.BatchAndUpdate).Gradient(g));
            }

            Tensor output = stack(
                network.Forward(images, NormStatistics.BatchAndUpdate).Zip(g, (logits, along) => (logits * along).sum())).sum();
            return Flat(autograd.grad([output], [.. network.Parameters], allow_unused: true));
        }

        Tensor full = Gradient(null, true), ofTape = Gradient(ScalarType.BFloat16, true), ofGraph = Gradient(ScalarType.BFloat16, false);

        double apart = RelativeNorm(ofTape, ofGraph), tapeOff = RelativeNorm(ofTape, full), graphOff = RelativeNorm(ofGraph, full);
        output.WriteLine($"tape and graph {apart:f4} apart, from float32 {tapeOff:f4} and {graphOff:f4}");
        new[] { apart, tapeOff, graphOff }.Should().OnlyContain(error => error < Bound).And.OnlyContain(error => error > 1e-5);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Tangent_and_cotangent_are_adjoint_up_to_rounding(bool raNet)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(5);
        using MultiExitNetwork network = Build(raNet, ScalarType.BFloat16, random);
        LinearisedPass pass = network.Linearise(
            randn([Samples, 3, 32, 32], generator: random), parameters: null, NormStatistics.BatchAndUpdate);
        Tensor[] g = [.. pass.Logits.Select(logits => randn(logits.shape, generator: random))];
        Tensor[] u = [.. network.Parameters.Select(parameter => randn(parameter.shape, generator: random))];

        double byTangent = pass.Tangent(u).Zip(g, (tangent, along) => (tangent * along).sum().item<float>()).Sum();
        IReadOnlyList<Tensor?> gradient = pass.Gradient([.. g.Select(along => along.clone())]);
        double byGradient = gradient.Zip(u, (part, along) => part is null ? 0 : (part * along).sum().item<float>()).Sum();
        double size = Math.Sqrt(
            gradient.OfType<Tensor>().Sum(part => part.pow(Held(2)).sum().item<float>())
                * u.Sum(part => part.pow(Held(2)).sum().item<float>()));

        output.WriteLine($"{byTangent} and {byGradient} of {size}");
        (Math.Abs(byTangent - byGradient) / size).Should().BeLessThan(2e-3);
        gradient.OfType<Tensor>().Should().OnlyContain(part => part.dtype == float32);
    }

    [Fact]
    public void Evaluation_and_the_passes_of_the_meta_gradient_are_in_float32()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(5);
        using MultiExitNetwork full = Build(false, null, random), half = Build(false, ScalarType.BFloat16, new Generator(5));
        Tensor images = randn([4, 3, 32, 32], generator: random);

        half.Forward(images, NormStatistics.Running).SelectMany(GoldenFile.Values).Should()
            .Equal(full.Forward(images, NormStatistics.Running).SelectMany(GoldenFile.Values));
        half.Forward(images, NormStatistics.Batch).SelectMany(GoldenFile.Values).Should()
            .Equal(full.Forward(images, NormStatistics.Batch).SelectMany(GoldenFile.Values), "the meta gradient's passes too");
        half.Forward(images, NormStatistics.BatchAndUpdate).SelectMany(GoldenFile.Values).Should()
            .NotEqual(full.Forward(images, NormStatistics.BatchAndUpdate).SelectMany(GoldenFile.Values));
    }

    /// <summary>Losses [N, K], gradient by θ, meta objective and gradient by weights [N, K].</summary>
    private static Tensor[] MetaStep(bool raNet, MetaMemory memory, ScalarType? type)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(5);
        using MultiExitNetwork network = Build(raNet, type, random);
        using var optimiser = new Sgd(network.named_parameters(), new TrainOptions());
        IMetaGradient method = MetaGradients.Create(new MetaOptions { Memory = memory }, network, optimiser, TrainingLoss.Plain);
        (LabelledImages train, LabelledImages meta) = (Batch(random), Batch(random));

        IForward forward = method.Forward(train);
        Tensor weights = ones_like(forward.Losses);
        Tensor byParameters = Flat(method.Forward(train).Gradient(weights.div(Held(Samples))));
        MetaGradient gradient = method.WeightGradient(forward, weights, meta, Rate);
        return [.. new[] { forward.Losses, byParameters, gradient.Objective, gradient.GradWeights }.Select(scope.MoveToOuter)];
    }

    private static LabelledImages Batch(Generator random)
        => new(randn([Samples, 3, 32, 32], generator: random), randint(SmallMsdNet.Classes, [Samples], int64, generator: random));

    private static MultiExitNetwork Build(bool raNet, ScalarType? type, Generator random)
    {
        var factory = new LayerFactory(Initialisation.He, random, float32, CPU);
        MultiExitNetwork network = raNet
            ? new RaNet(SmallRaNet.Options, ImageKind.Cifar, SmallMsdNet.Classes, factory) { FeatureType = type }
            : new MsdNet(new MsdNetOptions { Blocks = 3 }, ImageKind.Cifar, SmallMsdNet.Classes, factory) { FeatureType = type };
        SetRelus(network);
        return network;
    }

    /// <summary>Every fourth channel of a norm shut, the others open.</summary>
    private static void SetRelus(MultiExitNetwork network)
    {
        Dictionary<string, Tensor> state = network.state_dict().ToDictionary(entry => entry.Key, entry => (Tensor)entry.Value);
        using (no_grad())
        {
            foreach ((string name, Tensor mean) in state.Where(entry => entry.Key.EndsWith(".running_mean", StringComparison.Ordinal)))
            {
                Tensor bias = state[name.Replace(".running_mean", ".bias", StringComparison.Ordinal)];
                bias.copy_(tensor(Enumerable.Range(0, (int)mean.numel()).Select(channel => channel % 4 == 3 ? -Open : Open).ToArray()));
            }
        }
    }

    /// <summary>The share of values other than 0 that bfloat16 has.</summary>
    private static double OnGrid(Tensor values)
    {
        float[] some = [.. values.detach().data<float>().ToArray().Where(value => value != 0)];
        return some.Average(value => (BitConverter.SingleToUInt32Bits(value) & 0xFFFF) == 0 ? 1.0 : 0);
    }

    private static Tensor Flat(IEnumerable<Tensor?> parts)
        => cat([.. parts.Where(part => part is { IsInvalid: false }).Select(part => part!.flatten())]);

    private static double RelativeNorm(Tensor a, Tensor b) => ((a - b).pow(Held(2)).sum() / b.pow(Held(2)).sum()).sqrt().item<float>();
}
