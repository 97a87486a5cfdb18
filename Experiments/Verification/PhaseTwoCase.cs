using System.Globalization;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// <c>imta_isc_*.pt</c>: phase II with the published code's choices: predictions, teacher, batch-norm statistics, distillation.
/// </summary>
internal static class PhaseTwoCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        var collaboration = new CollaborationOptions { Enabled = true, Gradient = TransferGradient.Flow };
        using var network = new PhaseTwoNetwork(
            GoldenNetworks.Msd(golden, device), collaboration, FrozenNorm.Moving, GoldenNetworks.Factory(device));
        return GoldenComparison.Run(
            golden,
            isInput: key => key is "x" or "y" || key.Split('/') is ["config" or "state", ..] or [_, "T" or "gamma" or "loss_sum"],
            comparison => CheckAll(comparison, golden, network),
            Quantity);
    }

    private static string Quantity(string key)
        => key.Split('/') is [var first, var second, ..] && first.StartsWith("kd", StringComparison.Ordinal) ? second : key.Split('/')[0];

    private static void CheckAll(GoldenComparison comparison, GoldenFile golden, PhaseTwoNetwork network)
    {
        string[] own = [.. network.state_dict().Keys.Order(StringComparer.Ordinal)];
        comparison.CheckError(
            "state names", own.Except(golden.KeysUnder("state")).Count() + golden.KeysUnder("state").Except(own).Count(), tolerance: 0);
        GoldenNetworks.Load(network, golden);
        Tensor[] evaluation = network.Forward(golden["x"], NormStatistics.Running);
        CheckPerExit(comparison, "eval_pred", evaluation);

        var pass = new Pass(NormStatistics.BatchAndUpdate);
        Tensor[] training = network.Forward(golden["x"], pass);
        CheckPerExit(comparison, "train_pred", training);
        comparison.Check("real_logits_last", pass.Teacher!);
        foreach ((string name, Tensor buffer) in network.named_buffers())
        {
            comparison.Check($"after/{name}", buffer);
        }

        for (int i = 0; golden.Contains($"kd{i}/T"); i++)
        {
            string prefix = string.Create(CultureInfo.InvariantCulture, $"kd{i}");
            CheckDistillation(comparison, golden, network, prefix, evaluation);
        }
    }

    private static void CheckDistillation(
        GoldenComparison comparison, GoldenFile golden, PhaseTwoNetwork network, string prefix, Tensor[] evaluation)
    {
        foreach ((DistillationReduction reduction, string name) in
            new[] { (DistillationReduction.ElementMean, "mean"), (DistillationReduction.BatchMean, "batchmean") })
        {
            using TrainingLoss loss = Loss(golden, prefix, reduction);
            var pass = new Pass(NormStatistics.Batch);
            Tensor total = Total(loss, network.Forward(golden["x"], pass), golden["y"], pass.Teacher);
            comparison.Check($"{prefix}/loss_{name}", total);
            IReadOnlyList<Tensor?> gradients = Autograd.Gradients("the total loss", [total], null, network.Parameters);
            for (int p = 0; p < gradients.Count; p++)
            {
                CheckGradient(
                    comparison, golden, $"{prefix}/grad_{name}/{network.ParameterNames[p]}", gradients[p]!, gradients[Math.Max(p - 1, 0)]!);
            }
        }

        using TrainingLoss published = Loss(golden, prefix, DistillationReduction.ElementMean);
        comparison.Check($"{prefix}/eval_loss_mean", Total(published, evaluation, golden["y"], teacher: null));
    }

    /// <summary>
    /// The bias before a batch norm has no effect: its gradient is rounding noise, and is compared relative to that of the preceding
    /// weight.
    /// </summary>
    private static void CheckGradient(GoldenComparison comparison, GoldenFile golden, string key, Tensor gradient, Tensor ofWeight)
    {
        if (key.Contains("isc_modules", StringComparison.Ordinal) && key.EndsWith(".0.bias", StringComparison.Ordinal))
        {
            comparison.CheckError(key, ((gradient - golden[key]).abs().max() / ofWeight.abs().max()).item<double>());
        }
        else
        {
            comparison.Check(key, gradient);
        }
    }

    private static TrainingLoss Loss(GoldenFile golden, string prefix, DistillationReduction reduction)
    {
        var ofa = new DistillationOptions
        {
            Enabled = true,
            Alpha = 1 - golden.Real($"{prefix}/gamma"),
            Temperature = golden.Real($"{prefix}/T"),
            Reduction = reduction,
        };
        return new TrainingLoss(new LossOptions { Ofa = ofa }, [], float64, golden["x"].device);
    }

    /// <summary>Σ_k mean_i l_ik.</summary>
    private static Tensor Total(TrainingLoss loss, Tensor[] logits, Tensor labels, Tensor? teacher)
        => loss.PerSample(logits, labels, teacher).Losses.mean([0]).sum();

    private static void CheckPerExit(GoldenComparison comparison, string prefix, Tensor[] ofExits)
    {
        for (int k = 0; k < ofExits.Length; k++)
        {
            comparison.Check($"{prefix}/{k}", ofExits[k]);
        }
    }
}
