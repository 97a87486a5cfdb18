using System.Globalization;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>Rules between settings; each setting's own range stands at its property.</summary>
internal static class SettingsRules
{
    /// <summary>The broken rules: the keys they are about, the likeliest culprit first, and a line for the user.</summary>
    public static IEnumerable<(string[] Keys, string Problem)> Broken(Settings settings)
    {
        var train = settings.Train;
        if (settings.Meta.Enabled && train.Batch < 4)
        {
            yield return (["train.batch", "meta.enabled"],
                Invariant($"train.batch is {train.Batch}; with meta.enabled it takes 4 at least, because each half needs 2 images"));
        }

        if (train.Nesterov && (train.Momentum == 0 || train.Dampening != 0))
        {
            yield return (["train.nesterov", "train.momentum", "train.dampening"],
                Invariant($"train.nesterov needs train.momentum > 0 and train.dampening 0; they are {train.Momentum} and {train.Dampening}"));
        }

        if (train.Milestones.Zip(train.Milestones.Skip(1)).Any(pair => pair.First >= pair.Second))
        {
            yield return (["train.milestones"], $"train.milestones are {train.Milestones}; they must ascend");
        }

        var net = settings.Model.Msdnet;
        if (net.GrowthFactors.Count != net.BottleneckFactors.Count)
        {
            yield return (["model.msdnet.growthFactors", "model.msdnet.bottleneckFactors"],
                Invariant($"model.msdnet.growthFactors has {net.GrowthFactors.Count} entries, bottleneckFactors {net.BottleneckFactors.Count}; both take one per scale"));
        }
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
