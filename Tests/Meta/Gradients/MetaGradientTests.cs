using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Meta.Gradients;

/// <summary>∂L/∂w of the unrolled method, in float64, for every form of the backbone optimiser's step.</summary>
public sealed class MetaGradientTests
{
    private const int TrainSamples = 5;
    private const int MetaSamples = 7;
    private const double Step = 1e-4;

    /// <summary>
    /// What a lookahead step depends on; with <paramref name="Buffers"/> the momentum buffers have been through one step.
    /// </summary>
    public sealed record Setting(
        double Rate, double Momentum, double Dampening, bool Nesterov, double WeightDecay, bool Buffers, MetaObjectiveKind Objective)
    {
        public TrainOptions Train() => new() { Momentum = Momentum, Dampening = Dampening, Nesterov = Nesterov, WeightDecay = WeightDecay };

        public MetaOptions Meta() => new() { Objective = Objective, Q = 0.8 };

        /// <summary>c, with ∂θ′/∂G = −rate · c.</summary>
        public double GradientFactor() => Nesterov ? 1 + Momentum : Buffers && Momentum != 0 ? 1 - Dampening : 1;
    }

    public static TheoryData<Setting> Settings => [.. AllSettings];

    private static IEnumerable<Setting> AllSettings
    {
        get
        {
            (double Momentum, double Dampening, bool Nesterov)[] forms =
            [
                (0, 0, false), (0.9, 0, false), (0.9, 0.3, false), (0.9, 0, true),
            ];
            return from rate in new[] { 0.05, 0.5 }
                   from form in forms
                   from weightDecay in new[] { 0, 0.01 }
                   from buffers in form.Momentum == 0 ? new[] { false } : [false, true]
                   from objective in Enum.GetValues<MetaObjectiveKind>()
                   select new Setting(rate, form.Momentum, form.Dampening, form.Nesterov, weightDecay, buffers, objective);
        }
    }

    [Theory]
    [MemberData(nameof(Settings))]
    public void It_is_the_slope_of_the_objective_after_the_lookahead(Setting setting)
    {
        using DisposeScope scope = NewDisposeScope();
        using var tiny = new TinyBilevel(setting.Train(), setting.Meta());
        (IForward forward, Tensor weights, LabelledImages meta) = Prepare(tiny, setting);

        MetaGradient gradient = tiny.Method.WeightGradient(forward, weights, meta, setting.Rate);

        Tensor[] LogitsAt(Tensor w) => tiny.LogitsAhead(forward, w, meta, setting.Rate);

        Func<Tensor[], double> objective = FixedObjective(setting, LogitsAt(weights), meta.Labels);
        gradient.Objective.item<double>().Should().BeApproximately(objective(LogitsAt(weights)), 1e-13);
        Error(gradient.GradWeights, Slopes(weights, w => objective(LogitsAt(w)))).Should().BeLessThan(1e-7);
    }

    [Theory]
    [MemberData(nameof(Settings))]
    public void It_is_a_product_of_each_loss_gradient_with_the_scaled_objective_gradient(Setting setting)
    {
        using DisposeScope scope = NewDisposeScope();
        using var tiny = new TinyBilevel(setting.Train(), setting.Meta());
        (IForward forward, Tensor weights, LabelledImages meta) = Prepare(tiny, setting);

        MetaGradient gradient = tiny.Method.WeightGradient(forward, weights, meta, setting.Rate);

        // v = ∂L/∂θ′, and ∂L/∂w_ik = −(1/N) ⟨∇l_ik, r · c · v⟩.
        Tensor[] ahead = tiny.Optimiser.Lookahead(forward.Gradient(weights.div(Held(TrainSamples))), setting.Rate);
        ahead = [.. ahead.Select(parameter => parameter.detach().requires_grad_())];
        Tensor[] logits = tiny.Network.Forward(meta.Images, ahead, NormStatistics.Batch);
        Tensor objective = new MetaObjective(
            setting.Objective == MetaObjectiveKind.Vanilla ? null : ExitShares.FromQ(setting.Meta().Q, tiny.Network.Exits))
            .Compute(logits, meta.Labels);
        IList<Tensor> v = autograd.grad([objective], ahead, allow_unused: true);
        double[] expected = [.. OneHots(weights).Select(
            cotangent => -setting.Rate * setting.GradientFactor() / TrainSamples * InnerProduct(forward.Gradient(cotangent), v))];
        Error(gradient.GradWeights, expected).Should().BeLessThan(1e-13);
    }

    /// <summary>What a weighting reads and how it centres, and whether the training loss is smoothed.</summary>
    public sealed record WeightingSetting(Setting Setting, Centring Centring, WeightFeatures Features, double LabelSmoothing);

    public static TheoryData<WeightingSetting> WeightingSettings =>
        [.. from setting in AllSettings
            from centring in Enum.GetValues<Centring>()
            from features in Enum.GetValues<WeightFeatures>()
            from smoothing in new[] { 0, 0.1 }
            select new WeightingSetting(setting, centring, features, smoothing)];

    [Theory]
    [MemberData(nameof(WeightingSettings))]
    public void Through_the_weighting_it_is_the_slope_by_its_parameters(WeightingSetting weighting)
    {
        Setting setting = weighting.Setting;
        using DisposeScope scope = NewDisposeScope();
        using var loss = new TrainingLoss(new LossOptions { LabelSmoothing = weighting.LabelSmoothing }, [1, 1, 1], float64, CPU);
        MetaOptions options = setting.Meta() with
        {
            Centring = weighting.Centring,
            Features = weighting.Features,
            Wpn = new WpnOptions { Hidden = 5 },
        };
        using var tiny = new TinyBilevel(setting.Train(), options, loss);
        (IForward forward, _, LabelledImages meta) = Prepare(tiny, setting);
        Tensor features = tiny.Weighting.Features(forward);
        Tensor weights = tiny.Weighting.Weights(features);

        MetaGradient gradient = tiny.Method.WeightGradient(forward, weights.detach(), meta, setting.Rate);
        IList<Tensor> byTheta = autograd.grad([weights], [.. tiny.Weighting.Network.Parameters], [gradient.GradWeights]);

        Func<Tensor[], double> objective = FixedObjective(
            setting, tiny.LogitsAhead(forward, weights.detach(), meta, setting.Rate), meta.Labels);
        double AheadOfNow() => objective(tiny.LogitsAhead(forward, tiny.Weighting.Weights(features).detach(), meta, setting.Rate));
        double norm = Math.Sqrt(InnerProduct([.. byTheta], byTheta));
        norm.Should().BePositive();
        foreach (IList<Tensor> direction in (IList<Tensor>[])[byTheta, tiny.DirectionOfTheta(1), tiny.DirectionOfTheta(2)])
        {
            double length = Math.Sqrt(InnerProduct([.. direction], direction));
            tiny.SlopeAlong(direction, Step, AheadOfNow).Should()
                .BeApproximately(InnerProduct([.. byTheta], direction) / length, 1e-6 * norm);
        }
    }

    [Fact]
    public void It_changes_neither_network_nor_optimiser()
    {
        using DisposeScope scope = NewDisposeScope();
        using var tiny = new TinyBilevel();
        (IForward forward, Tensor weights, LabelledImages meta) = Prepare(
            tiny, new Setting(0.5, 0.9, 0, false, 0.01, true, MetaObjectiveKind.Allocated));
        double[] before = tiny.BackboneState();

        tiny.Method.WeightGradient(forward, weights, meta, 0.5);

        tiny.BackboneState().Should().Equal(before);
        tiny.Network.Parameters.Should().OnlyContain(parameter => ReferenceEquals(parameter.grad, null));
    }

    [Fact]
    public void The_forward_pass_serves_the_real_update_after_it()
    {
        using DisposeScope scope = NewDisposeScope();
        using var tiny = new TinyBilevel();
        (IForward forward, Tensor weights, LabelledImages meta) = Prepare(
            tiny, new Setting(0.5, 0.9, 0, false, 0.01, true, MetaObjectiveKind.Allocated));
        double[] before = Values(forward.Gradient(weights));

        tiny.Method.WeightGradient(forward, weights, meta, 0.5);

        Values(forward.Gradient(weights)).Should().Equal(before);
    }

    [Fact]
    public void A_parameter_that_no_loss_reaches_has_no_gradient_and_stays()
    {
        using DisposeScope scope = NewDisposeScope();
        using var tiny = new TinyBilevel(new TrainOptions { WeightDecay = 0.1 });
        int unused = tiny.Network.ParameterNames.ToList().IndexOf(TinyNetwork.Unused);
        double[] before = tiny.Network.Parameters[unused].data<double>().ToArray();
        IForward forward = tiny.Method.Forward(tiny.Batch(TrainSamples));
        IReadOnlyList<Tensor?> gradient = forward.Gradient(tiny.Weights(TrainSamples));

        gradient.Select(part => part is null).Should().Equal(Enumerable.Range(0, gradient.Count).Select(p => p == unused));
        tiny.Optimiser.Lookahead(gradient, 1)[unused].data<double>().ToArray().Should().Equal(before);
        tiny.Optimiser.Apply(gradient, 1);
        tiny.Network.Parameters[unused].data<double>().ToArray().Should().Equal(before);
        tiny.Optimiser.Buffers[unused].Should().BeNull();
    }

    private static (IForward Forward, Tensor Weights, LabelledImages Meta) Prepare(TinyBilevel tiny, Setting setting)
    {
        if (setting.Buffers)
        {
            tiny.PlainLoop.Step(tiny.Batch(TrainSamples), new LearningRates(0.1, 0), learns: false);
        }

        return (tiny.Method.Forward(tiny.Batch(TrainSamples)), tiny.Weights(TrainSamples), tiny.Batch(MetaSamples));
    }

    /// <summary>L as a function of the logits, with the meta samples at the exits that <paramref name="logits"/> put them to.</summary>
    private static Func<Tensor[], double> FixedObjective(Setting setting, Tensor[] logits, Tensor labels)
    {
        if (setting.Objective == MetaObjectiveKind.Vanilla)
        {
            return at => at.Sum(z => nn.functional.cross_entropy(z, labels).item<double>());
        }

        int[] quotas = ExitShares.Quotas(ExitShares.FromQ(setting.Meta().Q, logits.Length), MetaSamples);
        quotas.Should().OnlyContain(quota => quota > 0);
        Tensor exits = MetaAllocation.Exits(Confidence.PerSample(logits), quotas);
        Tensor[] own = [.. Enumerable.Range(0, logits.Length).Select(k => exits.eq(Held(k)).nonzero().squeeze(1))];
        return at => at.Zip(own, (z, samples) => nn.functional.cross_entropy(z.index_select(0, samples), labels.index_select(0, samples)))
            .Sum(loss => loss.item<double>());
    }

    private static double[] Slopes(Tensor weights, Func<Tensor, double> objective) =>
        [
            .. OneHots(weights)
                .Select(direction => direction.mul(Held(Step)))
                .Select(step => (objective(weights.add(step, One)) - objective(weights - step)) / (2 * Step)),
        ];

    private static IEnumerable<Tensor> OneHots(Tensor like)
    {
        for (int i = 0; i < like.numel(); i++)
        {
            double[] values = new double[like.numel()];
            values[i] = 1;
            yield return tensor(values, like.shape);
        }
    }

    private static double InnerProduct(IReadOnlyList<Tensor?> a, IList<Tensor> b)
        => a.Zip(b).Where(pair => pair.First is not null).Sum(pair => pair.First!.mul(pair.Second).sum().item<double>());

    private static double Error(Tensor actual, double[] expected) => GoldenFile.RelativeError(actual.data<double>().ToArray(), expected);

    private static double[] Values(IEnumerable<Tensor?> tensors)
        => [.. tensors.OfType<Tensor>().SelectMany(part => part.data<double>().ToArray())];
}
