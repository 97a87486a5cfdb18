using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>pcgrad*.pt</c>: gradients projected in given orders, their sums and means, whole and group by group.</summary>
internal static class PcGradCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(golden, IsInput, comparison => CheckAll(golden, comparison), quantityOf: key => key.Replace('/', ' '));
    }

    /// <summary>TorchJD's weights are the column sums of the coefficients; other public results differ (README next to the file).</summary>
    private static bool IsInput(string key) => key.StartsWith("config/", StringComparison.Ordinal)
        || key.Split('/')[^1] is var name && (name is "grads" or "reach" or "order" or "group_offset"
            || (name.StartsWith("public_", StringComparison.Ordinal) && name != "public_torchjd_weight"));

    private static void CheckAll(GoldenFile golden, GoldenComparison comparison)
    {
        foreach (string name in GoldenGradients.Cases(golden))
        {
            using DisposeScope scope = NewDisposeScope();
            Check(golden, comparison, name);
            CheckGroups(golden, comparison, name);
        }
    }

    private static void Check(GoldenFile golden, GoldenComparison comparison, string name)
    {
        var gradients = new GoldenGradients(golden, name);
        (Tensor coefficients, Tensor projected) = Projected(gradients.All(), Orders(golden, name));
        comparison.Check($"{name}/coefficient", coefficients);
        comparison.Check($"{name}/projected", projected);
        comparison.Check($"{name}/sum", projected.sum([0]));
        comparison.Check($"{name}/mean", projected.mean([0]));
        comparison.Check($"{name}/public_torchjd_weight", coefficients.sum([0]));
    }

    /// <summary>Each group by its own Gram matrix.</summary>
    private static void CheckGroups(GoldenFile golden, GoldenComparison comparison, string name)
    {
        var gradients = new GoldenGradients(golden, name);
        int[] offsets = golden.Ints($"{name}/group_offset");
        IEnumerable<ExitGradients> groups = offsets.Zip(offsets.Skip(1), (first, end) => gradients.Group(first, end));
        Tensor projected = cat([.. groups.Select(group => Projected(group, Orders(golden, name)).Rows)], 1);
        comparison.Check($"{name}/layerwise_projected", projected);
        comparison.Check($"{name}/layerwise_sum", projected.sum([0]));
    }

    /// <summary>The coefficients [K, K] and the projected gradients [K, D].</summary>
    private static (Tensor Coefficients, Tensor Rows) Projected(ExitGradients gradients, int[][] orders)
    {
        double[,] coefficients = PcGrad.Projections(gradients.Gram(), orders);
        IEnumerable<Tensor> rows = Enumerable.Range(0, gradients.Exits)
            .Select(i => gradients.Sum([.. Enumerable.Range(0, gradients.Exits).Select(k => coefficients[i, k])]))
            .Select(GoldenGradients.Flat);
        return (tensor(coefficients), stack(rows));
    }

    private static int[][] Orders(GoldenFile golden, string name)
    {
        int[] all = golden.Ints($"{name}/order");
        return [.. all.Chunk((int)golden[$"{name}/order"].shape[1])];
    }
}
