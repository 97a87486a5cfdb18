using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>allocation*.pt</c>: the published table of shares, quotas, selections and meta losses.</summary>
internal static class AllocationCase
{
    private const double Exact = 0;

    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);

        // The file also has the shares computed in float64, which no code here uses.
        return GoldenComparison.Run(
            golden,
            isInput: key => key.Split('/') is ["probs_float64", ..] or [_, "logits" or "targets" or "p_index"],
            comparison => CheckAll(golden, comparison),
            Quantity);
    }

    private static void CheckAll(GoldenFile golden, GoldenComparison comparison)
    {
        foreach (string exits in golden.KeysUnder("probs"))
        {
            int count = (int)golden[$"probs/{exits}"].shape[1];
            float[] table = [.. Enumerable.Range(1, (int)golden[$"probs/{exits}"].shape[0]).SelectMany(p => ExitShares.FromQ(Q(p), count))];
            comparison.Check($"probs/{exits}", tensor(table, [table.Length / count, count]), Exact);
        }

        IEnumerable<string> keys = golden.Keys.Where(key => key.EndsWith("/logits", StringComparison.Ordinal));
        foreach (string name in keys.Select(key => key.Split('/')[0]))
        {
            CheckSet(golden, comparison, name);
        }
    }

    /// <summary><c>n50/p5/selected</c> counts as <c>n50 selected</c>, for every p.</summary>
    private static string Quantity(string key) => key.Split('/') is ["probs", _] ? "probs" : $"{key.Split('/')[0]} {key.Split('/')[^1]}";

    private static double Q(long index) => index / 20.0;

    private static void CheckSet(GoldenFile golden, GoldenComparison comparison, string name)
    {
        Tensor stacked = golden[$"{name}/logits"]; // [K, N, C]
        Tensor[] logits = [.. Enumerable.Range(0, (int)stacked.shape[0]).Select(k => stacked.select(0, k))];
        Tensor confidence = golden[$"{name}/confidence"].t(); // [N, K]
        comparison.Check($"{name}/confidence", Confidence.PerSample(logits).t());
        foreach (int p in golden.Ints($"{name}/p_index"))
        {
            string at = $"{name}/p{p}";
            float[] shares = ExitShares.FromQ(Q(p), logits.Length);
            int[] quotas = ExitShares.Quotas(shares, confidence.shape[0]);
            Tensor exits = MetaAllocation.Exits(confidence, quotas);
            comparison.Check($"{at}/count", tensor(quotas.Select(quota => (long)quota).ToArray()), Exact);
            comparison.Check($"{at}/selected", tensor(Selections.InOrder(exits, confidence), [logits.Length, confidence.shape[0]]), Exact);
            comparison.Check($"{at}/meta_loss", new MetaObjective(shares).Compute(logits, golden[$"{name}/targets"]));
        }
    }
}
