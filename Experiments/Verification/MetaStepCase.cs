using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// <c>meta_step_*.pt</c>: the bilevel loop on the batches of the file. As the loop's meta gradient, it forwards every call to the
/// method under test and compares the call's inputs and outputs and the state at that point.
/// </summary>
internal sealed class MetaStepCase : IMetaGradient, IDisposable
{
    private readonly GoldenFile _golden;
    private readonly GoldenComparison _comparison;
    private readonly TrainOptions _train;
    private readonly MetaOptions _meta;
    private readonly MsdNet _network;
    private readonly Sgd _optimiser;
    private readonly L2wDenWeighting _weighting;
    private readonly IMetaGradient _method;
    private readonly GoldenEpoch _epoch = new();
    private int _half = -1;
    private bool _learned; // from this half batch

    private MetaStepCase(GoldenFile golden, GoldenComparison comparison, MethodFactory method, Device device)
    {
        (_golden, _comparison) = (golden, comparison);
        (_train, _meta) = (GoldenSettings.Train(golden), GoldenSettings.Meta(golden));
        _network = GoldenNetworks.Msd(golden, device);
        GoldenNetworks.Load(_network, golden);
        _optimiser = new Sgd(_network.named_parameters(), _train);
        using var random = new Generator(1);
        _weighting = new L2wDenWeighting(_meta, _network.Exits, random, float64, device);
        _weighting.Network.load_state_dict(golden.KeysUnder("wpn_state").ToDictionary(name => name, name => golden[$"wpn_state/{name}"]));
        _method = method(_meta, _network, _optimiser);
    }

    private string Half => $"it{_half / 2}/half{_half % 2}";

    /// <summary>Creates the method under test for a network and its optimiser.</summary>
    public delegate IMetaGradient MethodFactory(MetaOptions options, MultiExitNetwork network, Sgd optimiser);

    public static IEnumerable<VerifiedQuantity> Run(string path, MetaGradientMethod gradient, Device device) => Run(
        path, (meta, network, sgd) => MetaGradients.Create(meta with { Gradient = gradient }, network, sgd, TrainingLoss.Plain), device);

    public static IEnumerable<VerifiedQuantity> Run(string path, MethodFactory method, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(golden, IsInput, comparison =>
        {
            using var replay = new MetaStepCase(golden, comparison, method, device);
            replay.Run();
        });
    }

    private void Run()
    {
        var loop = new BilevelLoop(this, _weighting, _optimiser, new GradientSum());
        int batches = _golden.Int("config/nbatch");
        for (int t = 0; t < batches; t++)
        {
            double factor = RateSchedule.Factor(_train, _golden.Int("config/epoch"), t, batches);
            var rates = new LearningRates(_train.Rate * factor, _meta.Optimiser.Rate * factor);
            _comparison.Check($"it{t}/lr", rates.Backbone);
            _comparison.Check($"it{t}/meta_lr", rates.Meta);
            var batch = new LabelledImages(_golden[$"it{t}/x"], _golden[$"it{t}/y"]);
            IReadOnlyList<HalfBatchReport> halves = loop.Step(batch, rates, _weighting.Learns(t));
            for (int h = 0; h < 2; h++)
            {
                CheckReport($"it{t}/half{h}", halves[h]);
            }

            _epoch.Add(halves);
        }

        CheckStateAfterHalf();
        CheckEnd();
    }

    public IForward Forward(LabelledImages train)
    {
        if (_half >= 0)
        {
            CheckStateAfterHalf();
        }

        (_half, _learned) = (_half + 1, false);
        IForward forward = _method.Forward(train);
        _epoch.Add(forward.Logits, train.Labels);
        return new Observed(this, forward);
    }

    public MetaGradient WeightGradient(IForward forward, Tensor weights, LabelledImages meta, double rate)
    {
        Tensor features = _weighting.Features(forward);
        _comparison.Check($"{Half}/wpn_input", features);
        _comparison.Check($"{Half}/wpn_output_pseudo", _weighting.Network.Forward(features));
        _comparison.Check($"{Half}/pseudo_losses", forward.CrossEntropies);
        _comparison.Check($"{Half}/pseudo_weight", weights);
        _comparison.Check($"{Half}/pseudo_loss", forward.CrossEntropies.mul(weights).mean([0]).sum());
        IForward inner = ((Observed)forward).Inner;
        CheckLookahead(inner.Gradient(weights.div(Held(weights.shape[0]))), meta, rate);

        MetaGradient gradient = _method.WeightGradient(inner, weights, meta, rate);
        IReadOnlyList<Tensor?> byTheta = ((ISampleWeighting)_weighting).Gradient(_weighting.Weights(features), gradient.GradWeights);
        CheckWeighting($"{Half}/wpn_grad", byTheta.OfType<Tensor>());
        _comparison.Check($"{Half}/meta_loss", gradient.Objective);
        _learned = true;
        return gradient;
    }

    public void Dispose()
    {
        _optimiser.Dispose();
        _weighting.Dispose();
        _network.Dispose();
    }

    private static bool IsInput(string key) => key.EndsWith("/x", StringComparison.Ordinal) || key.EndsWith("/y", StringComparison.Ordinal)
        || key.Split('/')[0] is "config" or "state" or "wpn_state" or "check";

    private static double Norm(IEnumerable<Tensor?> tensors)
        => Math.Sqrt(tensors.OfType<Tensor>().Sum(tensor => tensor.pow(Held(2)).sum().item<double>()));

    private void CheckLookahead(IReadOnlyList<Tensor?> gradient, LabelledImages meta, double rate)
    {
        _comparison.Check($"{Half}/pseudo_grad_norm", Norm(gradient));
        Tensor[] ahead = _optimiser.Lookahead(gradient, rate);
        CheckThree($"{Half}/virtual", ahead);
        _comparison.Check($"{Half}/virtual_norm", Norm(ahead));

        Tensor[] logits = _network.Forward(meta.Images, ahead, NormStatistics.Batch);
        for (int k = 0; k < logits.Length; k++)
        {
            _comparison.Check($"{Half}/meta_logits/{k}", logits[k]);
        }

        float[] shares = ExitShares.FromQ(_meta.Q, logits.Length);
        _comparison.Check("target_probs", tensor(shares));
        Tensor confidence = Confidence.PerSample(logits).detach(); // [M, K]
        Tensor exits = MetaAllocation.Exits(confidence, ExitShares.Quotas(shares, confidence.shape[0]));
        _comparison.Check(
            $"{Half}/selected", tensor(Selections.InOrder(exits, confidence), [logits.Length, confidence.shape[0]]), tolerance: 0);
    }

    /// <summary>Just before the actual update: Θ has already been updated.</summary>
    private void CheckUpdate(IForward forward, Tensor cotangent, IReadOnlyList<Tensor?> gradient)
    {
        if (_learned)
        {
            CheckWeighting($"{Half}/wpn_after", _weighting.Parameters);
        }

        _comparison.Check($"{Half}/wpn_output_real", _weighting.Network.Forward(_weighting.Features(forward)));
        _comparison.Check($"{Half}/weight", cotangent.mul(Held(cotangent.shape[0])));
        CheckThree($"{Half}/backbone_grad", gradient);
        _comparison.Check($"{Half}/backbone_grad_norm", Norm(gradient));
    }

    private void CheckStateAfterHalf()
    {
        CheckThree($"{Half}/backbone_after", _network.Parameters);
        _comparison.Check($"{Half}/backbone_param_norm", Norm(_network.Parameters));
        _comparison.Check($"{Half}/momentum_norm", Norm(_optimiser.Buffers));
        foreach (string statistic in new[] { "running_mean", "running_var" })
        {
            var all = _network.named_buffers().Where(entry => entry.name.EndsWith(statistic, StringComparison.Ordinal));
            _comparison.Check($"{Half}/{statistic}_norm", Norm(all.Select(entry => entry.buffer)));
        }
    }

    private void CheckReport(string half, HalfBatchReport report)
    {
        Tensor perExit = report.Losses.mul(report.Weights).mean([0]); // [K]
        _comparison.Check($"{half}/losses", report.CrossEntropies);
        _comparison.Check($"{half}/weight", report.Weights);
        _comparison.Check($"{half}/real_loss_per_exit", perExit);
        _comparison.Check($"{half}/real_loss", perExit.sum());
        if (report.Objective is { } objective)
        {
            _comparison.Check($"{half}/meta_loss", objective);
        }
    }

    private void CheckEnd()
    {
        foreach ((string name, Tensor tensor) in _network.state_dict())
        {
            _comparison.Check($"final_backbone/{name}", tensor);
        }

        for (int p = 0; p < _network.Parameters.Count; p++)
        {
            if (_optimiser.Buffers[p] is { } buffer) // without momentum neither side has one
            {
                _comparison.Check($"final_momentum/{_network.ParameterNames[p]}", buffer);
            }
        }

        CheckWeighting("final_wpn", _weighting.Parameters);
        CheckWeighting("final_adam_m", _weighting.Optimiser.Means);
        CheckWeighting("final_adam_v", _weighting.Optimiser.Squares);
        _comparison.Check("final_adam_step", _weighting.Optimiser.Steps);
        double factor = RateSchedule.Factor(_train, _golden.Int("config/epoch"), 0, _golden.Int("config/nbatch"));
        _comparison.Check("epoch/lr", _train.Rate * factor);
        _comparison.Check("epoch/meta_lr", _meta.Optimiser.Rate * factor);
        _epoch.Check(_golden, _comparison);
    }

    private void CheckWeighting(string prefix, IEnumerable<Tensor> ofParameters)
    {
        foreach (((string name, _), Tensor tensor) in _weighting.Network.named_parameters().Zip(ofParameters))
        {
            _comparison.Check($"{prefix}/{name}", tensor);
        }
    }

    /// <summary>The file has three of the tensors in full.</summary>
    private void CheckThree(string prefix, IReadOnlyList<Tensor?> ofParameters)
    {
        foreach (string name in _golden.KeysUnder(prefix))
        {
            _comparison.Check($"{prefix}/{name}", ofParameters[_network.ParameterNames.ToList().IndexOf(name)]!);
        }
    }

    private sealed class Observed(MetaStepCase replay, IForward inner) : IForward
    {
        public IForward Inner => inner;

        public IReadOnlyList<Tensor> Logits => inner.Logits;

        public Tensor CrossEntropies => inner.CrossEntropies;

        public Tensor Losses => inner.Losses;

        public IReadOnlyList<Tensor?> Gradient(Tensor cotangent)
        {
            IReadOnlyList<Tensor?> gradient = inner.Gradient(cotangent);
            replay.CheckUpdate(inner, cotangent, gradient);
            return gradient;
        }
    }
}
