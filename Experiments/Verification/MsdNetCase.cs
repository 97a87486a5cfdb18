using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>msdnet_cifar_*.pt</c> and <c>msdnet_imagenet_*.pt</c>: names, logits, losses, batch norm's statistics, gradients, costs.</summary>
internal static class MsdNetCase
{
    private const int LogitsShown = 10;

    public static IEnumerable<VerifiedQuantity> Cifar(string path, Device place)
    {
        using GoldenFile golden = GoldenFile.Open(path, place);
        using MsdNet network = GoldenMsdNet.Build(golden, place);
        return GoldenComparison.Run(golden, IsInput, comparison =>
        {
            CheckState(comparison, golden, network);
            CheckPerExit(comparison, "eval_logits", network.Forward(golden["x"], NormStatistics.Running));
            CheckValues(comparison, network); // evaluation has changed nothing
            CheckTraining(comparison, golden, network);
        });
    }

    public static IEnumerable<VerifiedQuantity> ImageNet(string path, Device place)
    {
        using GoldenFile golden = GoldenFile.Open(path, place);
        using MsdNet network = GoldenMsdNet.Build(golden, place);
        return GoldenComparison.Run(golden, IsInput, comparison => CheckImageNet(comparison, golden, network));
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

    private static void CheckState(GoldenComparison comparison, GoldenFile golden, MsdNet network)
    {
        static string Line(string name, Tensor tensor) => $"{name} [{string.Join(", ", tensor.shape)}] {tensor.dtype}";
        var own = network.state_dict().Select(entry => Line(entry.Key, entry.Value));
        var published = golden.KeysUnder("state").Select(name => Line(name, golden[$"state/{name}"]));
        comparison.CheckError("state names and shapes", own.ToHashSet().Union(published).Count() - own.Intersect(published).Count(), tolerance: 0);
        comparison.Check("params_count", network.Parameters.Sum(parameter => parameter.numel()), tolerance: 0);
        network.load_state_dict(golden.KeysUnder("state").ToDictionary(name => name, name => golden[$"state/{name}"]));
        CheckValues(comparison, network);
    }

    private static void CheckValues(GoldenComparison comparison, MsdNet network)
    {
        foreach ((string name, Tensor tensor) in network.state_dict())
        {
            comparison.Check($"state/{name}", tensor, tolerance: 0);
        }
    }

    /// <summary>One forward pass in training mode, and the gradient of the exits' mean cross-entropies.</summary>
    private static void CheckTraining(GoldenComparison comparison, GoldenFile golden, MsdNet network)
    {
        Tensor[] logits = network.Forward(golden["x"], NormStatistics.BatchAndUpdate);
        Tensor losses = CrossEntropy.PerSample(logits, golden["y"]).mean([0]); // [K]
        CheckPerExit(comparison, "train_logits", logits);
        CheckPerExit(comparison, "train_ce", [.. Enumerable.Range(0, logits.Length).Select(k => losses.select(0, k))]);
        foreach ((string name, Tensor buffer) in network.named_buffers())
        {
            comparison.Check($"after/{name}", buffer);
        }

        Tensor loss = losses.sum();
        IList<Tensor> gradients = autograd.grad([loss], [.. network.Parameters]);
        comparison.Check("train_loss", loss);
        comparison.Check("grad_total_norm", Math.Sqrt(gradients.Sum(gradient => gradient.pow(2).sum().item<double>())));
        for (int p = 0; p < gradients.Count; p++)
        {
            comparison.Check($"grad/{network.ParameterNames[p]}", gradients[p]);
        }
    }

    private static void CheckPerExit(GoldenComparison comparison, string prefix, Tensor[] ofExits)
    {
        for (int k = 0; k < ofExits.Length; k++)
        {
            comparison.Check($"{prefix}/{k}", ofExits[k]);
        }
    }
}
