using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Tests.Allocation;
using Imta.MetaWeight.Tests.Backbones;

namespace Imta.MetaWeight.Tests.Meta;

/// <summary>
/// The bilevel loop on the batches of a golden file <c>meta_step_*.pt</c>. As the loop's meta gradient it passes every call on to the
/// unrolled method and compares what goes in, what comes out, and the state that it meets.
/// </summary>
internal sealed class MetaStepReplay : IMetaGradient, IDisposable
{
    private readonly GoldenFile _golden;
    private readonly TrainOptions _train;
    private readonly MetaOptions _meta;
    private readonly MsdNet _network;
    private readonly Sgd _optimiser;
    private readonly SampleWeighting _weighting;
    private readonly Adam _metaOptimiser;
    private readonly UnrolledMetaGradient _method;
    private readonly List<PartReport> _reports = [];
    private int _part = -1;

    public MetaStepReplay(GoldenFile golden)
    {
        _golden = golden;
        Comparison = new GoldenComparison(golden);
        (_train, _meta) = (Train(golden), Meta(golden));
        _network = GoldenMsdNet.Open(golden);
        _optimiser = new Sgd(_network.Parameters, _train);
        using var random = new Generator(1);
        int features = SampleWeighting.FeatureCount(_meta.Features, _network.Exits);
        var predictor = new WeightPredictionNetwork(_meta.Wpn, features, _network.Exits, random, float64, CPU);
        predictor.load_state_dict(golden.KeysUnder("wpn_state").ToDictionary(name => name, name => golden[$"wpn_state/{name}"]));
        _weighting = new SampleWeighting(predictor, _meta);
        _metaOptimiser = new Adam(predictor.Parameters, _meta.Optimiser.WeightDecay);
        _method = new UnrolledMetaGradient(_network, _optimiser, new MetaObjective(_meta, _network.Exits));
    }

    public GoldenComparison Comparison { get; }

    private string Part => $"it{_part / 2}/half{_part % 2}";

    public void Run()
    {
        var loop = new BilevelLoop(this, _optimiser, _weighting, _metaOptimiser);
        int batches = (int)_golden.Int("config/nbatch");
        for (int t = 0; t < batches; t++)
        {
            double factor = RateSchedule.Factor(_train, (int)_golden.Int("config/epoch"), t, batches);
            var rates = new Rates(_train.Rate * factor, _meta.Optimiser.Rate * factor);
            Comparison.Check($"it{t}/lr", rates.Backbone);
            Comparison.Check($"it{t}/meta_lr", rates.Meta);
            IReadOnlyList<PartReport> parts = loop.Step(new LabelledImages(_golden[$"it{t}/x"], _golden[$"it{t}/y"]), rates, updateWeighting: true);
            for (int h = 0; h < 2; h++)
            {
                CheckReport($"it{t}/half{h}", parts[h]);
            }

            _reports.AddRange(parts);
        }

        CheckStateAfterPart();
        CheckEnd();
    }

    public IForward Forward(LabelledImages train)
    {
        if (_part >= 0)
        {
            CheckStateAfterPart();
        }

        _part++;
        return new Observed(this, _method.Forward(train));
    }

    public MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        Tensor features = _weighting.Features(forward.CrossEntropies, forward.Logits);
        Comparison.Check($"{Part}/wpn_input", features);
        Comparison.Check($"{Part}/wpn_output_pseudo", _weighting.Network.Forward(features));
        Comparison.Check($"{Part}/pseudo_losses", forward.CrossEntropies);
        Comparison.Check($"{Part}/pseudo_weight", weights);
        Comparison.Check($"{Part}/pseudo_loss", forward.CrossEntropies.mul(weights).mean([0]).sum());
        IForward inner = ((Observed)forward).Inner;
        CheckLookahead(inner.Gradient(weights / weights.shape[0]), meta, rate);

        MetaGradient gradient = _method.WeightGradient(inner, weights, meta, rate);
        IList<Tensor> byTheta = autograd.grad([_weighting.Weights(features)], [.. _weighting.Network.Parameters], [gradient.ByWeights]);
        CheckWeighting($"{Part}/wpn_grad", byTheta);
        Comparison.Check($"{Part}/meta_loss", gradient.Objective);
        return gradient;
    }

    public void Dispose()
    {
        _optimiser.Dispose();
        _metaOptimiser.Dispose();
        _weighting.Network.Dispose();
        _network.Dispose();
    }

    private static TrainOptions Train(GoldenFile golden) => new()
    {
        Epochs = (int)golden.Int("config/epochs"),
        Rate = golden.Real("config/lr"),
        Momentum = golden.Real("config/momentum"),
        Nesterov = golden.Int("config/nesterov") == 1,
        WeightDecay = golden.Real("config/weight_decay"),
    };

    private static MetaOptions Meta(GoldenFile golden) => new()
    {
        Q = golden.Int("config/q") / 20.0,
        Epsilon = golden.Real("config/epsilon"),
        Centring = new[] { Centring.Row, Centring.Col, Centring.Mat }[golden.Int("config/constraint_dimension")],
        Features = new[] { WeightFeatures.Loss, WeightFeatures.Confidence, WeightFeatures.Both }[golden.Int("config/meta_net_input_type")],
        Wpn = new WpnOptions { Hidden = (int)golden.Int("config/wpn_hidden"), Layers = (int)golden.Int("config/wpn_layers") },
        Optimiser = new MetaOptimiserOptions { Rate = golden.Real("config/meta_lr"), WeightDecay = golden.Real("config/meta_weight_decay") },
    };

    private static double Norm(IEnumerable<Tensor?> tensors) => Math.Sqrt(tensors.OfType<Tensor>().Sum(tensor => tensor.pow(2).sum().item<double>()));

    /// <summary>Per cent right at each exit, <c>[K]</c>; a product in float32, as the published code has it.</summary>
    private static Tensor PerCent(Tensor correct) => correct.to_type(float32).sum([0]).mul(100.0 / correct.shape[0]).to_type(float64);

    private void CheckLookahead(IReadOnlyList<Tensor?> gradient, LabelledImages meta, double rate)
    {
        Comparison.Check($"{Part}/pseudo_grad_norm", Norm(gradient));
        Tensor[] ahead = _optimiser.Lookahead(gradient, rate);
        CheckThree($"{Part}/virtual", ahead);
        Comparison.Check($"{Part}/virtual_norm", Norm(ahead));

        Tensor[] logits = _network.Forward(meta.Images, ahead, NormStatistics.Batch);
        for (int k = 0; k < logits.Length; k++)
        {
            Comparison.Check($"{Part}/meta_logits/{k}", logits[k]);
        }

        float[] shares = ExitShares.Of(_meta.Q, logits.Length);
        Comparison.Check("target_probs", tensor(shares));
        Tensor confidence = Confidence.PerSample(logits).detach(); // [M, K]
        Tensor exits = MetaAllocation.Exits(confidence, ExitShares.Quotas(shares, confidence.shape[0]));
        Comparison.Check($"{Part}/selected", tensor(Selections.InOrder(exits, confidence), [logits.Length, confidence.shape[0]]));
    }

    /// <summary>The real update, just before it: Θ has taken its step.</summary>
    private void CheckRealUpdate(IForward forward, Tensor cotangent, IReadOnlyList<Tensor?> gradient)
    {
        CheckWeighting($"{Part}/wpn_after", _weighting.Network.Parameters);
        Comparison.Check($"{Part}/wpn_output_real", _weighting.Network.Forward(_weighting.Features(forward.CrossEntropies, forward.Logits)));
        Comparison.Check($"{Part}/weight", cotangent * cotangent.shape[0]);
        CheckThree($"{Part}/backbone_grad", gradient);
        Comparison.Check($"{Part}/backbone_grad_norm", Norm(gradient));
    }

    private void CheckStateAfterPart()
    {
        CheckThree($"{Part}/backbone_after", _network.Parameters);
        Comparison.Check($"{Part}/backbone_param_norm", Norm(_network.Parameters));
        Comparison.Check($"{Part}/momentum_norm", Norm(_optimiser.Buffers));
        foreach (string statistic in new[] { "running_mean", "running_var" })
        {
            var ofAll = _network.named_buffers().Where(entry => entry.name.EndsWith(statistic, StringComparison.Ordinal));
            Comparison.Check($"{Part}/{statistic}_norm", Norm(ofAll.Select(entry => entry.buffer)));
        }
    }

    private void CheckReport(string part, PartReport report)
    {
        Tensor perExit = report.Losses.mul(report.Weights).mean([0]); // [K]
        Comparison.Check($"{part}/losses", report.Losses);
        Comparison.Check($"{part}/weight", report.Weights);
        Comparison.Check($"{part}/real_loss_per_exit", perExit);
        Comparison.Check($"{part}/real_loss", perExit.sum());
        Comparison.Check($"{part}/meta_loss", report.Objective!);
    }

    private void CheckEnd()
    {
        foreach ((string name, Tensor tensor) in _network.state_dict())
        {
            Comparison.Check($"final_backbone/{name}", tensor);
        }

        for (int p = 0; p < _network.Parameters.Count; p++)
        {
            Comparison.Check($"final_momentum/{_network.ParameterNames[p]}", _optimiser.Buffers[p]!);
        }

        CheckWeighting("final_wpn", _weighting.Network.Parameters);
        CheckWeighting("final_adam_m", _metaOptimiser.Means);
        CheckWeighting("final_adam_v", _metaOptimiser.Squares);
        Comparison.Check("final_adam_step", _metaOptimiser.Steps);
        CheckEpoch();
    }

    /// <summary>Means over the epoch's parts, which are of one size.</summary>
    private void CheckEpoch()
    {
        double factor = RateSchedule.Factor(_train, (int)_golden.Int("config/epoch"), 0, (int)_golden.Int("config/nbatch"));
        Comparison.Check("epoch/lr", _train.Rate * factor);
        Comparison.Check("epoch/meta_lr", _meta.Optimiser.Rate * factor);
        Comparison.Check("epoch/mean_weighted_loss_per_exit", cat([.. _reports.Select(report => report.Losses.mul(report.Weights))]).mean([0]));
        Comparison.Check("epoch/acc1_per_exit", stack(_reports.Select(report => PerCent(report.Correct))).mean([0]));
        Comparison.Check("epoch/mean_meta_loss", _reports.Average(report => report.Objective!.item<double>()));
    }

    private void CheckWeighting(string prefix, IEnumerable<Tensor> ofParameters)
    {
        foreach ((string name, Tensor tensor) in _weighting.Network.named_parameters().Zip(ofParameters, (entry, tensor) => (entry.name, tensor)))
        {
            Comparison.Check($"{prefix}/{name}", tensor);
        }
    }

    /// <summary>The file has three of the tensors whole.</summary>
    private void CheckThree(string prefix, IReadOnlyList<Tensor?> ofParameters)
    {
        foreach (string name in _golden.KeysUnder(prefix))
        {
            Comparison.Check($"{prefix}/{name}", ofParameters[_network.ParameterNames.ToList().IndexOf(name)]!);
        }
    }

    private sealed class Observed(MetaStepReplay replay, IForward inner) : IForward
    {
        public IForward Inner => inner;

        public IReadOnlyList<Tensor> Logits => inner.Logits;

        public Tensor CrossEntropies => inner.CrossEntropies;

        public IReadOnlyList<Tensor?> Gradient(Tensor cotangent)
        {
            IReadOnlyList<Tensor?> gradient = inner.Gradient(cotangent);
            replay.CheckRealUpdate(inner, cotangent, gradient);
            return gradient;
        }
    }
}
