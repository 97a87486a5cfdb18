using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using Imta.MetaWeight.Tests.Backbones;

namespace Imta.MetaWeight.Tests.Meta.Gradients;

/// <summary>Directions that follow from the Gram matrix of the exits' gradients.</summary>
public sealed class GramCombinationTests : IDisposable
{
    private const int Blocks = 3;

    private readonly DisposeScope _scope = NewDisposeScope();

    public static TheoryData<string> Methods
        => new(CombinationMethod.PcGrad.Name, CombinationMethod.CaGrad.Name, CombinationMethod.NashMtl.Name);

    public static TheoryData<string> AllMethods => [.. Registries.Combinations.Names];

    /// <summary>With Gradient Equilibrium, distillation and exits that read each other's logits too.</summary>
    [Theory]
    [MemberData(nameof(AllMethods))]
    public void The_recorded_pass_and_autograd_give_the_same_direction(string method)
    {
        foreach (bool modified in new[] { false, true })
        {
            double[][] recorded = Direction(method, modified, MetaGradientMethod.Forward);
            double[][] byAutograd = Direction(method, modified, MetaGradientMethod.Unrolled);

            recorded.Select(part => part.Length).Should().Equal(byAutograd.Select(part => part.Length));
            GoldenFile.RelativeError([.. recorded.SelectMany(part => part)], [.. byAutograd.SelectMany(part => part)])
                .Should().BeLessThan(1e-10);
        }
    }

    [Theory]
    [InlineData(MetaGradientMethod.Forward)]
    [InlineData(MetaGradientMethod.Unrolled)]
    public void The_last_exits_direction_is_its_gradient_and_leaves_other_heads_alone(MetaGradientMethod method)
    {
        using var random = new Generator(3);
        using MultiExitNetwork network = SmallMsdNet.Build(float64, random, blocks: Blocks);
        IForward forward = Forward(network, TrainingLoss.Plain, method, random, out Tensor cotangent);

        IReadOnlyList<Tensor?> direction = Combination("last").Combine(forward, cotangent);

        Tensor alone = cotangent.clone();
        alone.narrow(1, 0, Blocks - 1).zero_();
        IReadOnlyList<Tensor?> expected = forward.Gradient(alone);
        network.ParameterNames.Where((_, p) => direction[p] is null).Should().NotBeEmpty()
            .And.OnlyContain(name => name.StartsWith("classifier.0.", StringComparison.Ordinal)
                || name.StartsWith("classifier.1.", StringComparison.Ordinal));
        direction.Zip(expected).Where(pair => pair.First is not null).Should()
            .OnlyContain(pair => pair.First!.sub(pair.Second!).abs().max().item<double>() < 1e-14);
    }

    [Theory]
    [InlineData(MetaGradientMethod.Forward)]
    [InlineData(MetaGradientMethod.Unrolled)]
    public void An_exits_gradient_ends_at_its_block(MetaGradientMethod method)
    {
        using var random = new Generator(3);
        using MultiExitNetwork network = SmallMsdNet.Build(float64, random, blocks: Blocks);
        IForward forward = Forward(network, TrainingLoss.Plain, method, random, out Tensor cotangent);

        for (int k = 0; k < Blocks; k++)
        {
            IReadOnlyList<Tensor?> gradient = forward.ExitGradient(cotangent, k);
            string[] reached = [.. network.ParameterNames.Where((_, p) => gradient[p] is not null)];
            reached.Should().Contain(name => name.StartsWith($"blocks.{k}.", StringComparison.Ordinal))
                .And.Contain(name => name.StartsWith($"classifier.{k}.", StringComparison.Ordinal));
            reached.Should().OnlyContain(name => name.StartsWith($"classifier.{k}.", StringComparison.Ordinal)
                || Enumerable.Range(0, k + 1).Any(block => name.StartsWith($"blocks.{block}.", StringComparison.Ordinal)));
        }
    }

    [Fact]
    public void A_direction_is_the_sum_by_coefficients_of_the_Gram_matrix_over_all_parameters()
    {
        var forward = new FixedGradients([[[1, 2], [3]], [[-2, 1], null], [[0, -1], [-4]]]);
        double[,] gram = ExitGradients.Compute(forward, zeros(4, 3)).Gram();

        gram.Cast<double>().Should().Equal(14, 0, -14, 0, 5, -1, -14, -1, 17);
        Values(new PcGrad().Combine(forward, zeros(4, 3))).Should().Equal(
            Expected(forward, PcGrad.Projections(gram, [[0, 1, 2], [0, 1, 2], [0, 1, 2]])), (a, b) => Math.Abs(a - b) < 1e-14);
        Values(new NashMtl(new NashMtlOptions { MaxNorm = 0.5 }).Combine(forward, zeros(4, 3))).Sum(x => x * x).Should()
            .BeApproximately(0.25, 1e-6);
    }

    [Fact]
    public void A_parameter_that_no_exit_reaches_has_no_direction()
        => new NashMtl(new()).Combine(new FixedGradients([[null, [1]], [null, [2]]]), zeros(4, 2)).Select(part => part is null).Should()
            .Equal(true, false);

    [Theory]
    [MemberData(nameof(Methods))]
    public void A_gradient_that_is_not_finite_spoils_all_of_the_direction(string method)
        => Values(Combination(method).Combine(new FixedGradients([[[1, double.NaN], [1]], [[1, 2], [3]]]), zeros(4, 2))).Should()
            .OnlyContain(value => double.IsNaN(value));

    [Fact]
    public void Orders_are_drawn_anew_in_each_step_and_go_on_from_a_saved_state()
    {
        var forward = new FixedGradients([[[1, 0.1, 0]], [[-0.6, 1, 0.2]], [[-0.5, -0.7, 1]], [[0.1, -1, -0.9]]]);
        var combination = (PcGrad)Combination(CombinationMethod.PcGrad.Name);
        double[][] directions = [.. Enumerable.Range(0, 6).Select(_ => Values(combination.Combine(forward, zeros(2, 4))))];

        directions.Select(direction => direction[0]).Distinct().Count().Should().BeGreaterThan(2);
        combination.State.Group("gradient_combination").WholeNumber("steps").Should().Be(6);
        var other = (PcGrad)Combination(CombinationMethod.PcGrad.Name);
        Values(other.Combine(forward, zeros(2, 4))).Should().Equal(directions[0]);
        other.LoadState(new StateTree { Groups = { ["gradient_combination"] = new StateTree { Numbers = { ["steps"] = 4 } } } });
        Values(other.Combine(forward, zeros(2, 4))).Should().Equal(directions[4]);
        other.State.Group("gradient_combination").WholeNumber("steps").Should().Be(5);
        new PcGrad().State.Groups.Should().BeEmpty();
    }

    public void Dispose() => _scope.Dispose();

    private static IGradientCombination Combination(string name)
    {
        CombinationMethod method = Registries.Combinations.Find(name);
        return method.Build(method.DefaultOptions(), step => new Generator((ulong)(17 + step)));
    }

    private static double[][] Direction(string method, bool modified, MetaGradientMethod gradient)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(5);
        var combination = new CombinationTests.Combination(Ge: modified, Isc: modified, Ofa: modified, RaNet: modified);
        using MultiExitNetwork network = modified ? combination.Build(random) : SmallMsdNet.Build(float64, random, blocks: Blocks);
        using var loss = new TrainingLoss(new LossOptions { Ofa = new DistillationOptions { Enabled = modified } }, [], float64, CPU);
        IForward forward = Forward(network, loss, gradient, random, out Tensor cotangent);
        IGradientCombination combined = Combination(method);
        combined.Combine(forward, cotangent); // which the weights of the next step follow
        return [.. combined.Combine(forward, cotangent).Select(part => part is null ? [] : GoldenFile.Values(part))];
    }

    private static IForward Forward(
        MultiExitNetwork network, TrainingLoss loss, MetaGradientMethod method, Generator random, out Tensor cotangent)
    {
        using var optimiser = new Sgd(network.named_parameters(), new TrainOptions());
        var batch = new LabelledImages(
            randn([6, 3, 32, 32], float64, generator: random), randint(network.Classes, [6], int64, generator: random));
        cotangent = rand([6, network.Exits], float64, generator: random);
        return MetaGradients.Create(new MetaOptions { Gradient = method }, network, optimiser, loss).Forward(batch);
    }

    private static double[] Expected(FixedGradients forward, double[,] projected)
    {
        double[] coefficients = [.. Enumerable.Range(0, 3).Select(k => Enumerable.Range(0, 3).Sum(i => projected[i, k]))];
        return
        [
            .. Enumerable.Range(0, 3).Select(at => Enumerable.Range(0, 3)
                .Sum(k => coefficients[k] * (at < 2 ? forward.ByExit[k][0]![at] : forward.ByExit[k][1]?[0] ?? 0))),
        ];
    }

    private static double[] Values(IReadOnlyList<Tensor?> direction) => [.. direction.SelectMany(part => GoldenFile.Values(part!))];

    /// <summary>A pass whose gradients are given: by exit, by parameter.</summary>
    private sealed record FixedGradients(double[]?[][] ByExit) : IForward
    {
        public IReadOnlyList<Tensor> Logits => [];

        public Tensor CrossEntropies => throw new NotSupportedException();

        public Tensor Losses => throw new NotSupportedException();

        public IReadOnlyList<Tensor?> Gradient(Tensor cotangent) => throw new NotSupportedException();

        public IReadOnlyList<Tensor?> ExitGradient(Tensor cotangent, int exit)
            => [.. ByExit[exit].Select(values => values is null ? null : tensor(values))];
    }
}
