using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// <c>msdnet_*.pt</c>, <c>ranet_*.pt</c> and <c>imta_ge_*.pt</c>: names, logits, losses, batch-norm statistics, costs, and gradients, by
/// autograd and by the linearised pass.
/// </summary>
internal static class BackboneCase
{
    private const int LogitsShown = 10;

    public static IEnumerable<VerifiedQuantity> MsdNet(string path, Device device)
        => Cifar(path, device, golden => GoldenNetworks.Msd(golden, device));

    public static IEnumerable<VerifiedQuantity> RaNet(string path, Device device)
        => Cifar(path, device, golden => GoldenNetworks.Ra(golden, device));

    public static IEnumerable<VerifiedQuantity> ImageNet(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        using MsdNet network = GoldenNetworks.Msd(golden, device);
        return GoldenComparison.Run(golden, IsInput, comparison => CheckImageNet(comparison, golden, network));
    }

    /// <summary>Gradient Equilibrium: logits and the features before them are unchanged, gradients are rescaled.</summary>
    public static IEnumerable<VerifiedQuantity> Equilibrium(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        using MsdNet network = GoldenNetworks.Msd(golden, device, new ModifierOptions { Ge = new EquilibriumOptions { Enabled = true } });
        using MsdNet plain = GoldenNetworks.Msd(golden, device);
        return GoldenComparison.Run(golden, IsInput, comparison =>
        {
            CheckState(comparison, golden, network);
            GoldenNetworks.Load(plain, golden);
            CheckPerExit(comparison, "train_feat", network.PooledFeatures(golden["x"], new Pass(NormStatistics.Batch)));
            Tensor[] logits = CheckGradients(comparison, golden, network, NormStatistics.Batch);
            (Tensor[] plainLogits, IReadOnlyList<Tensor?> plainGradients) = ByAutograd(golden, plain, NormStatistics.Batch);
            comparison.CheckError(
                "check/max_logit_difference_to_plain", logits.Zip(plainLogits, (a, b) => (a - b).abs().max().item<double>()).Max(),
                tolerance: 0);
            List<string> names = [.. plain.ParameterNames];
            foreach (string name in golden.KeysUnder("grad_plain_sample"))
            {
                comparison.Check($"grad_plain/{name}", plainGradients[names.IndexOf(name)]!);
            }
        });
    }

    private static VerifiedQuantity[] Cifar(string path, Device device, Func<GoldenFile, MultiExitNetwork> build)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        using MultiExitNetwork network = build(golden);
        return GoldenComparison.Run(golden, IsInput, comparison =>
        {
            CheckState(comparison, golden, network);
            CheckPerExit(comparison, "eval_logits", network.Forward(golden["x"], NormStatistics.Running));
            CheckValues(comparison, network); // evaluation must not change anything
            CheckGradients(comparison, golden, network, NormStatistics.BatchAndUpdate);
            foreach ((string name, Tensor buffer) in network.named_buffers())
            {
                comparison.Check($"after/{name}", buffer);
            }
        });
    }

    private static void CheckImageNet(GoldenComparison comparison, GoldenFile golden, MsdNet network)
    {
        CheckState(comparison, golden, network);
        Tensor[] logits = network.Forward(golden["x"], NormStatistics.Running);
        for (int k = 0; k < logits.Length; k++)
        {
            comparison.Check($"eval_logits10/{k}", logits[k].narrow(1, 0, LogitsShown));
            comparison.Check($"eval_logits/{k}", logits[k]);
        }

        NetworkCost cost = network.Cost((int)golden["x"].shape[^1]);
        comparison.Check("flops", tensor(cost.Exits.Select(exit => exit.Macs).ToArray()), tolerance: 0);
        comparison.Check("params", tensor(cost.Exits.Select(exit => exit.Parameters).ToArray()), tolerance: 0);
    }

    private static bool IsInput(string key) => key is "x" or "y" || key.StartsWith("config/", StringComparison.Ordinal);

    private static void CheckState(GoldenComparison comparison, GoldenFile golden, MultiExitNetwork network)
    {
        static string Line(string name, Tensor tensor) => $"{name} {ShapeText(tensor)} {tensor.dtype}";
        var own = network.state_dict().Select(entry => Line(entry.Key, entry.Value));
        var published = golden.KeysUnder("state").Select(name => Line(name, golden[$"state/{name}"]));
        comparison.CheckError(
            "state names and shapes", own.ToHashSet().Union(published).Count() - own.Intersect(published).Count(), tolerance: 0);
        if (golden.Contains("params_count"))
        {
            comparison.Check("params_count", network.Parameters.Sum(parameter => parameter.numel()), tolerance: 0);
        }

        GoldenNetworks.Load(network, golden);
        CheckValues(comparison, network);
    }

    private static void CheckValues(GoldenComparison comparison, MultiExitNetwork network)
    {
        foreach ((string name, Tensor tensor) in network.state_dict())
        {
            comparison.Check($"state/{name}", tensor, tolerance: 0);
        }
    }

    /// <summary>
    /// One forward pass in training mode, and the gradient of the sum of the exits' mean cross-entropies, by autograd and by the linearised
    /// pass.
    /// </summary>
    private static Tensor[] CheckGradients(
        GoldenComparison comparison, GoldenFile golden, MultiExitNetwork network, NormStatistics statistics)
    {
        if (network.IsLinearisable)
        {
            (Tensor[] logits, IReadOnlyList<Tensor?> gradients) = ByLinearisedPass(golden, network);
            Check(logits, gradients);
        }

        (Tensor[] ofGraph, IReadOnlyList<Tensor?> byAutograd) = ByAutograd(golden, network, statistics);
        Check(ofGraph, byAutograd);
        return ofGraph;

        void Check(Tensor[] logits, IReadOnlyList<Tensor?> gradients)
        {
            Tensor losses = CrossEntropy.PerSample(logits, golden["y"]).mean([0]); // [K]
            CheckPerExit(comparison, "train_logits", logits);
            comparison.Check("train_loss", losses.sum());
            if (golden.KeysUnder("train_ce").Any())
            {
                CheckPerExit(comparison, "train_ce", [.. Enumerable.Range(0, logits.Length).Select(k => losses.select(0, k))]);
            }

            comparison.Check("grad_total_norm", Math.Sqrt(gradients.Sum(gradient => gradient!.pow(Held(2)).sum().item<double>())));
            for (int p = 0; p < gradients.Count; p++)
            {
                comparison.Check($"grad/{network.ParameterNames[p]}", gradients[p]!);
            }
        }
    }

    private static (Tensor[] Logits, IReadOnlyList<Tensor?> Gradients) ByAutograd(
        GoldenFile golden, MultiExitNetwork network, NormStatistics statistics)
    {
        Tensor[] logits = network.Forward(golden["x"], statistics);
        Tensor loss = CrossEntropy.PerSample(logits, golden["y"]).mean([0]).sum();
        return (logits, Autograd.Gradients("the mean losses", [loss], null, network.Parameters));
    }

    private static (Tensor[] Logits, IReadOnlyList<Tensor?> Gradients) ByLinearisedPass(GoldenFile golden, MultiExitNetwork network)
    {
        LinearisedPass pass = network.Linearise(golden["x"], parameters: null, NormStatistics.Batch);
        Tensor[] logits = [.. pass.Logits.Select(z => z.detach().requires_grad_())];
        IReadOnlyList<Tensor?> byLogits = Autograd.Gradients(
            "the mean losses", [CrossEntropy.PerSample(logits, golden["y"]).mean([0]).sum()], null, logits);
        return (logits, pass.Gradient([.. byLogits.Select(slope => slope!)], last: true));
    }

    private static void CheckPerExit(GoldenComparison comparison, string prefix, Tensor[] ofExits)
    {
        for (int k = 0; k < ofExits.Length; k++)
        {
            comparison.Check($"{prefix}/{k}", ofExits[k]);
        }
    }
}
