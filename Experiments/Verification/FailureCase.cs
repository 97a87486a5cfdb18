using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>failure_auroc*.pt</c>: the area under the ROC curve of confidence for "this exit is correct".</summary>
internal static class FailureCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(
            golden,
            isInput: key => key is "confidence" or "correct" || key.StartsWith("config/", StringComparison.Ordinal),
            comparison => Check(golden, comparison));
    }

    private static void Check(GoldenFile golden, GoldenComparison comparison)
    {
        using DisposeScope scope = NewDisposeScope();
        (int exits, int samples) = ((int)golden["confidence"].shape[0], (int)golden["confidence"].shape[1]);
        (double[] confidence, double[] correct) = (GoldenFile.Values(golden["confidence"]), GoldenFile.Values(golden["correct"]));
        double[] areas = [.. Enumerable.Range(0, exits).Select(k => (k * samples)..((k + 1) * samples)).Select(
            of => FailurePrediction.Auroc([.. correct[of].Select(value => value != 0)], confidence[of]) ?? double.NaN)];
        comparison.Check("auroc", tensor(areas));
    }
}
