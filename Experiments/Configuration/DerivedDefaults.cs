using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>
/// Defaults derived from other settings: those of a preset, phase II's, which default to phase I's, and MSDNet's factors per scale, which
/// follow from the size of the images.
/// </summary>
internal static class DerivedDefaults
{
    private const string Train = "train.";
    private const string Phase2 = "phase2.";

    /// <summary>The values with which the published code deviates from the papers.</summary>
    public static IReadOnlyDictionary<string, string> Published { get; } = new Dictionary<string, string>
    {
        ["model.initialisation"] = "published",
        ["modifiers.isc.gradient"] = "flow",
        ["modifiers.metaGf.averaging"] = "replaced",
        ["modifiers.metaGf.trailingStep"] = "true",
        ["loss.ofa.reduction"] = "elementMean",
        ["phase2.frozenNorm"] = "moving",
    };

    /// <summary>Sets every key that was not given and whose default is derived from other settings.</summary>
    /// <param name="settings">The settings, including given keys; not shared yet.</param>
    /// <param name="given">Keys that were set explicitly.</param>
    public static void Fill(Settings settings, IReadOnlyCollection<string> given)
    {
        bool isMsdNet = settings.Model.Backbone.Value == MsdNet.Backbone; // runs of other networks have recorded [1, 2, 4]
        foreach (SettingsKey key in SettingsSchema.Keys.Where(key => !given.Contains(key.Key)))
        {
            if (settings.Preset == Preset.Published && Published.TryGetValue(key.Key, out string? value))
            {
                Set(key, value);
            }
            else if (PhaseOneCounterpart(key.Key) is { } phase1)
            {
                Set(key, phase1.Format(settings));
            }
            else if (isMsdNet && key.Key is "model.msdnet.growthFactors" or "model.msdnet.bottleneckFactors")
            {
                Set(key, ScaleFactors(settings.Data));
            }
        }

        void Set(SettingsKey key, string value) => _ = key.TrySet(settings, YamlReader.ReadValue(value, key.Key))
            ? true
            : throw new InvalidOperationException($"{key.Key} cannot be {value}.");
    }

    /// <summary>As published: <c>[1, 2, 4]</c> for CIFAR, <c>[1, 2, 4, 4]</c> for ImageNet.</summary>
    private static string ScaleFactors(DataOptions data)
    {
        ImageKind images = data.Dataset switch
        {
            DatasetKind.Imagenet => ImageKind.ImageNet,
            DatasetKind.Pictures when data.Side is { } side => ImageKind.Cifar with { Side = side },
            _ => ImageKind.Cifar,
        };
        return $"[{string.Join(", ", Enumerable.Range(0, images.Scales).Select(scale => scale < 2 ? 1 << scale : 4))}]";
    }

    private static SettingsKey? PhaseOneCounterpart(string key)
        => key.StartsWith(Phase2, StringComparison.Ordinal) && key != "phase2.epochs"
        ? SettingsSchema.Find(Train + key[Phase2.Length..])
        : null;
}
