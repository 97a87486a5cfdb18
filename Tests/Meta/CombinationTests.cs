using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Ra;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Sweeps;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using Imta.MetaWeight.Tests.Backbones;

namespace Imta.MetaWeight.Tests.Meta;

/// <summary>
/// Every combination of {plain, learned weights} × GE × ISC × OFA × {MSDNet, RANet} × {one phase, phase II}: two steps by the forward and
/// by the unrolled method.
/// </summary>
public sealed class CombinationTests
{
    private const int Batch = 8;
    private const double Tolerance = 1e-10;

    public static TheoryData<Combination> All
    {
        get
        {
            var all = new TheoryData<Combination>();
            for (int bits = 0; bits < 64; bits++)
            {
                all.Add(new Combination(Bit(bits, 0), Bit(bits, 1), Bit(bits, 2), Bit(bits, 3), Bit(bits, 4), Bit(bits, 5)));
            }

            all.Add(new Combination(Meta: true, Boosting: true));
            all.Add(new Combination(Meta: true, Ge: true, Isc: true, Ofa: true, RaNet: true, Boosting: true));
            return all;

            static bool Bit(int bits, int number) => ((bits >> number) & 1) == 1;
        }
    }

    [Theory]
    [MemberData(nameof(All))]
    public void Two_steps_are_the_same_by_the_forward_and_the_unrolled_method(Combination combination)
    {
        using DisposeScope scope = NewDisposeScope();
        Dictionary<string, double[]> unrolled = Observe(combination, MetaGradientMethod.Unrolled), forward = Observe(
            combination, MetaGradientMethod.Forward);

        forward.Keys.Should().Equal(unrolled.Keys);
        forward.Select(entry => (Quantity: entry.Key, Error: GoldenFile.RelativeError(entry.Value, unrolled[entry.Key])))
            .Where(quantity => !(quantity.Error <= Tolerance))
            .Should().BeEmpty();
        unrolled["moved"].Should().OnlyContain(distance => distance > 0, "every parameter that a loss reaches is trained");
    }

    [Fact]
    public void Finite_differences_are_refused_where_they_would_be_wrong()
    {
        using DisposeScope scope = NewDisposeScope();

        Build(new Combination(Meta: true, Ofa: true)).Should().NotThrow();
        Build(new Combination(Meta: true, Ge: true)).Should().Throw<ArgumentException>().WithMessage("*not the gradient of any*");
        Build(new Combination(Meta: true, Boosting: true)).Should().Throw<ArgumentException>().WithMessage("*not the gradient of any*");
        Build(new Combination(Meta: true, Isc: true)).Should().Throw<ArgumentException>().WithMessage("*not the gradient of any*");
        Build(new Combination(Meta: true, Ge: true, SecondPhase: true)).Should().NotThrow("what is frozen has no gradient to rescale");

        static Action Build(Combination combination) => () => Observe(combination, MetaGradientMethod.FiniteDifference);
    }

    /// <summary>With the teacher held fixed, they are an oracle for distillation.</summary>
    [Fact]
    public void Finite_differences_agree_with_distillation()
    {
        using DisposeScope scope = NewDisposeScope();
        var combination = new Combination(Meta: true, Ofa: true);

        double[] exact = Observe(combination, MetaGradientMethod.Forward)["weights"], near = Observe(
            combination, MetaGradientMethod.FiniteDifference)["weights"];

        exact.Should().Contain(weight => Math.Abs(weight - 1) > 1e-3);
        GoldenFile.RelativeError(near, exact).Should().BeLessThan(1e-3);
    }

    private static Dictionary<string, double[]> Observe(Combination combination, MetaGradientMethod method)
    {
        using var random = new Generator(7);
        using MultiExitNetwork network = combination.Build(random);
        using var loss = new TrainingLoss(
            new LossOptions { Ofa = new DistillationOptions { Enabled = combination.Ofa, Alpha = 0.6, Temperature = 2 } }, [], float64,
            CPU);
        using var optimiser = new Sgd(network.named_parameters(), new TrainOptions { Nesterov = true });
        var meta = new MetaOptions { Gradient = method, Wpn = new WpnOptions { Hidden = 5 } };
        using var learned = new L2wDenWeighting(meta, network.Exits, random, float64, CPU);
        IMetaGradient gradient = MetaGradients.Create(meta, network, optimiser, loss);
        var loop = new BilevelLoop(gradient, combination.Meta ? learned : new UniformWeighting(), optimiser, new GradientSum());
        double[][] before = [.. network.Parameters.Select(GoldenFile.Values)];
        List<HalfBatchReport> parts = [];
        for (int step = 0; step < 2; step++)
        {
            var batch = new LabelledImages(
                randn([Batch, 3, 32, 32], float64, generator: random), randint(network.Classes, [Batch], int64, generator: random));
            parts.AddRange(loop.Step(batch, new LearningRates(0.1, 0.05), learns: true));
        }

        return new()
        {
            ["losses"] = Values(parts.Select(part => part.Losses)),
            ["cross-entropies"] = Values(parts.Select(part => part.CrossEntropies)),
            ["weights"] = Values(parts.Select(part => part.Weights)),
            ["objectives"] = Values(parts.Select(part => part.Objective)),
            ["parameters"] = Values(network.Parameters),
            ["statistics"] = Values(network.buffers()),
            ["weighting"] = Values(learned.Parameters),
            ["moved"] =
            [
                .. network.Parameters.Select(
                    (parameter, p) => GoldenFile.Values(parameter).Zip(before[p], (a, b) => Math.Abs(a - b)).Max()),
            ],
        };
    }

    private static double[] Values(IEnumerable<Tensor?> tensors) => [.. tensors.OfType<Tensor>().SelectMany(GoldenFile.Values)];

    /// <summary>What is switched on.</summary>
    public sealed record Combination(
        bool Meta = false, bool Ge = false, bool Isc = false, bool Ofa = false, bool RaNet = false, bool SecondPhase = false,
        bool Boosting = false)
    {
        public override string ToString() => string.Join(
            " + ",
            new[] { (Meta, "meta", "plain"), (Ge, "GE", ""), (Isc, "ISC", ""), (Ofa, "OFA", ""), (RaNet, "RANet", "MSDNet"),
                (SecondPhase, "phase II", "one phase"), (Boosting, "boosting", "") }
                .Select(part => part.Item1 ? part.Item2 : part.Item3).Where(part => part.Length > 0));

        internal MultiExitNetwork Build(Generator random)
        {
            var isc = new CollaborationOptions { Enabled = Isc };
            var modifiers = new ModifierOptions
            {
                Ge = new EquilibriumOptions { Enabled = Ge },
                Boosting = new BoostingOptions { Enabled = Boosting },
                Isc = SecondPhase ? new CollaborationOptions() : isc,
            };
            ExitHeadNetwork network = RaNet ? SmallRaNet.Build(float64, random, modifiers) : SmallMsdNet.Build(float64, random, modifiers);
            return SecondPhase
                ? new PhaseTwoNetwork(network, isc, FrozenNorm.Fixed, new LayerFactory(Initialisation.He, random, float64, CPU))
                : network;
        }
    }
}
