using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta.Gradients;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// <c>boostnet*.pt</c>: boosted exits on given outputs of the heads, in training and evaluation, and on a chain of layers, also with
/// rescaled gradients; and weights that equalise losses.
/// </summary>
internal static class BoostNetCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(golden, IsInput, comparison =>
        {
            foreach (string name in golden.LogicalKeys.Where(key => key.EndsWith("/reweight", StringComparison.Ordinal)).ToArray())
            {
                CheckEnsemble(comparison, golden, name[..name.IndexOf('/', StringComparison.Ordinal)]);
            }

            CheckHeads(comparison, golden);
            CheckChain(comparison, golden, rescales: false);
            CheckChain(comparison, golden, rescales: true);
            CheckEqualLosses(comparison, golden);
        }, quantityOf: key => string.Join('/', key.Split('/').Where(part => !int.TryParse(part, out _))));
    }

    private static bool IsInput(string key) => key is "logits" or "y" or "chain/x" or "loss_equal/loss"
        || key.EndsWith("/reweight", StringComparison.Ordinal) || key.StartsWith("config/", StringComparison.Ordinal)
        || key.StartsWith("chain/W/", StringComparison.Ordinal) || key.StartsWith("chain/V/", StringComparison.Ordinal);

    private static BoostingOptions Options(double first, double last)
        => new() { Enabled = true, Reweighting = first, LastReweighting = last };

    private static void CheckEnsemble(GoldenComparison comparison, GoldenFile golden, string name)
    {
        double[] factors = golden[$"{name}/reweight"].ToArray<double>();
        Tensor given = golden["logits"], labels = golden["y"]; // [K, N, C], [N]
        using var network = new GivenOutputs(given, Options(factors[0], factors[^1]));

        Tensor[] training = network.Forward(given, NormStatistics.Batch);
        Tensor losses = CrossEntropy.PerSample(training, labels).mean([0]); // [K]
        IReadOnlyList<Tensor?> gradients = Autograd.Gradients("the losses", [losses.sum()], null, network.Parameters);
        comparison.Check($"{name}/train_logits", stack(training));
        comparison.Check($"{name}/train_offset", stack(training).sub(given));
        comparison.Check($"{name}/grad", stack(gradients.Select(gradient => gradient!)));
        comparison.Check($"{name}/loss", losses);
        comparison.Check($"{name}/total_loss", losses.sum());

        Tensor[] evaluation = network.Forward(given, NormStatistics.Running);
        comparison.Check($"{name}/eval_logits", stack(evaluation));
        comparison.Check($"{name}/eval_confidence", Confidence.PerSample(evaluation).t());
        comparison.Check($"{name}/eval_prediction", stack(evaluation).argmax(2), tolerance: 0);
    }

    private static void CheckHeads(GoldenComparison comparison, GoldenFile golden)
    {
        using var network = new Chain(golden, new EquilibriumOptions(), new BoostingOptions());
        comparison.Check("chain/logits", stack(network.Forward(golden["chain/x"], NormStatistics.Batch)));
    }

    private static void CheckChain(GoldenComparison comparison, GoldenFile golden, bool rescales)
    {
        using var network = new Chain(golden, new EquilibriumOptions { Enabled = rescales }, Options(0.5, 0.5));
        Tensor[] logits = network.Forward(golden["chain/x"], NormStatistics.Batch);
        Tensor loss = CrossEntropy.PerSample(logits, golden["y"]).mean([0]).sum();
        IReadOnlyList<Tensor?> gradients = Autograd.Gradients("the losses", [loss], null, network.Parameters);
        foreach ((string name, Tensor? gradient) in network.ParameterNames.Zip(gradients))
        {
            comparison.Check($"chain/{(rescales ? "rescaled" : "plain")}/grad_{name[0]}/{name[1..]}", gradient!);
        }
    }

    private static void CheckEqualLosses(GoldenComparison comparison, GoldenFile golden)
    {
        using var combination = new LossEqual(new LossEqualOptions());
        Tensor losses = golden["loss_equal/loss"]; // [steps, K]
        Tensor[] weights = [.. Enumerable.Range(0, (int)losses.size(0)).Select(step => combination.Weights(losses.select(0, step)))];
        comparison.Check("loss_equal/coefficient", stack(weights));
    }

    /// <summary>Heads whose outputs are parameters.</summary>
    private sealed class GivenOutputs : MultiExitNetwork
    {
        private readonly Parameter[] _outputs;

        public GivenOutputs(Tensor outputs, BoostingOptions boosting)
            : base(nameof(GivenOutputs), boosting: boosting)
        {
            (Exits, Classes) = ((int)outputs.shape[0], (int)outputs.shape[2]);
            _outputs = [.. Enumerable.Range(0, Exits).Select(k => new Parameter(outputs.select(0, k).clone()))];
            for (int k = 0; k < Exits; k++)
            {
                register_parameter($"o{k}", _outputs[k]);
            }
        }

        public override int Exits { get; }

        public override int Classes { get; }

        protected override Tensor[] Block(int k, Tensor[] features, Pass pass) => features;

        protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass) => pass[_outputs[k]];
    }

    /// <summary>h_k = tanh(W_k h_{k−1}), o_k = V_k h_k.</summary>
    private sealed class Chain : MultiExitNetwork
    {
        private readonly Parameter[] _layers, _heads;

        public Chain(GoldenFile golden, EquilibriumOptions equilibrium, BoostingOptions boosting)
            : base(nameof(Chain), equilibrium, boosting)
        {
            int exits = Exits = golden.KeysUnder("chain/W").Count();
            _layers = [.. Enumerable.Range(0, exits).Select(k => new Parameter(golden[$"chain/W/{k}"].clone()))];
            _heads = [.. Enumerable.Range(0, exits).Select(k => new Parameter(golden[$"chain/V/{k}"].clone()))];
            for (int k = 0; k < exits; k++)
            {
                register_parameter($"W{k}", _layers[k]);
                register_parameter($"V{k}", _heads[k]);
            }
        }

        public override int Exits { get; }

        public override int Classes => (int)_heads[0].shape[0];

        protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
            => [nn.functional.linear(features[0], pass[_layers[k]]).tanh()];

        protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
            => nn.functional.linear(features[0], pass[_heads[k]]);
    }
}
