using System.ComponentModel.DataAnnotations;
using System.Globalization;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>Rules across settings; each setting's own range is defined at its property.</summary>
internal static class SettingsRules
{
    /// <summary>The violated rules: the keys involved, the most likely culprit first, and a one-line message.</summary>
    public static IEnumerable<(string[] Keys, string Problem)> Violations(Settings settings)
    {
        var broken = CheckTraining("train", settings.Train, settings);
        if (settings.Phase2.Epochs > 0)
        {
            broken = broken.Concat(CheckTraining("phase2", settings.Phase2, settings));
        }

        return broken.Concat(CheckMixedRegime(settings)).Concat(CheckData(settings.Data))
            .Concat(OfOptions("model", settings.Model.Backbone)).Concat(OfOptions("meta", settings.Meta.Weights))
            .Concat(OfOptions("modifiers", settings.Modifiers.Combination))
            .Concat(CheckModifiers(settings)).Concat(CheckCombination(settings)).Concat(CheckMetaGf(settings))
            .Concat(CheckPrecision(settings));
    }

    private static IEnumerable<(string[] Keys, string Problem)> CheckTraining(string group, TrainOptions train, Settings settings)
    {
        bool cuts = settings.Meta.SplitsBatch;
        int least = (cuts ? 4 : 2) * settings.Processes;
        string part = cuts ? "half of each process's batch" : "process";
        if (settings.Processes > 1 && train.Batch < least)
        {
            yield return ([$"{group}.batch", "processes", "meta.enabled"],
                Invariant($"{group}.batch is {train.Batch}; with {settings.Processes} processes it must be at least {least}, ")
                    + $"because each {part} needs 2 images");
        }
        else if (cuts && train.Batch < least)
        {
            yield return ([$"{group}.batch", "meta.enabled"],
                Invariant(
                    $"{group}.batch is {train.Batch}; with meta.enabled it must be at least 4, because each half batch needs 2 images"));
        }

        if (train.Nesterov && (train.Momentum == 0 || train.Dampening != 0))
        {
            yield return ([$"{group}.nesterov", $"{group}.momentum", $"{group}.dampening"],
                $"{group}.nesterov needs {group}.momentum > 0 and {group}.dampening 0; "
                + Invariant($"they are {train.Momentum} and {train.Dampening}"));
        }

        if (train.Milestones.Zip(train.Milestones.Skip(1)).Any(pair => pair.First >= pair.Second))
        {
            yield return ([$"{group}.milestones"], $"{group}.milestones are {train.Milestones}; they must be in ascending order");
        }
    }

    private static IEnumerable<(string[] Keys, string Problem)> CheckMixedRegime(Settings settings)
    {
        if (settings.Phase2.Regime != PhaseTwoRegime.Mixed)
        {
            yield break;
        }

        if (settings.Phase2.Epochs == 0)
        {
            yield return (["phase2.regime", "phase2.epochs"],
                "phase2.regime is mixed, but phase2.epochs is 0, so there is no phase II; set phase2.epochs");
        }

        if (settings.Modifiers.Isc.Enabled)
        {
            yield return (["phase2.regime", "modifiers.isc.enabled"],
                "phase2.regime mixed keeps training phase I's exits, but modifiers.isc changes them; use phase2.regime frozen, or "
                    + "modifiers.isc.enabled=false");
        }

        if (settings.Phase2.FrozenNorm != FrozenNorm.Fixed && settings.Preset != Preset.Published)
        {
            yield return (["phase2.frozenNorm", "phase2.regime"],
                "phase2.frozenNorm only applies to a frozen network, but phase2.regime is mixed; remove phase2.frozenNorm, or use frozen");
        }
    }

    private static IEnumerable<(string[] Keys, string Problem)> CheckData(DataOptions data)
    {
        if (data is { Side: { } side, Dataset: not DatasetKind.Pictures })
        {
            yield return (["data.side", "data.dataset"],
                $"data.side is {Invariant($"{side}")}, but data.dataset is {SettingsSchema.YamlName(data.Dataset.ToString())}, "
                + "whose side is fixed; remove data.side, or use pictures");
        }

        if (data is { Classes: { } classes, Dataset: not (DatasetKind.Imagenet or DatasetKind.Pictures) })
        {
            yield return (["data.classes", "data.dataset"],
                $"data.classes is {Invariant($"{classes}")}, but data.dataset is {SettingsSchema.YamlName(data.Dataset.ToString())}, "
                + "whose classes are fixed; remove data.classes, or use imagenet or pictures");
        }
    }

    /// <summary>The rules that the options of a choice state themselves, whether they are chosen or not.</summary>
    private static IEnumerable<(string[] Keys, string Problem)> OfOptions(string group, IChoice choice) =>
        from name in choice.Names
        let options = choice.OptionsOf(name) as IValidatableObject
        where options is not null
        from broken in options.Validate(new ValidationContext(options))
        select ((string[])[.. broken.MemberNames.Select(member => $"{group}.{name}.{SettingsSchema.YamlName(member)}")],
            $"{group}.{name}.{broken.ErrorMessage}");

    private static IEnumerable<(string[] Keys, string Problem)> CheckModifiers(Settings settings)
    {
        if (settings.Phase2 is { From: not null, Epochs: 0 })
        {
            yield return (["phase2.from", "phase2.epochs"],
                "phase2.from is set, but phase2.epochs is 0, so there is no phase II; set phase2.epochs");
        }

        if (settings is { Train.Initialise: not null, Phase2.From: not null })
        {
            yield return (["train.initialise", "phase2.from"],
                "train.initialise gives phase I its starting weights, but phase2.from skips phase I; remove one of them");
        }

        if (settings is { Modifiers.Boosting.Enabled: true, Phase2: { Epochs: > 0, Regime: PhaseTwoRegime.Frozen } })
        {
            yield return (["modifiers.boosting.enabled", "phase2.epochs"],
                "modifiers.boosting needs the exits and the network to be trained together, but phase2.epochs is "
                    + Invariant($"{settings.Phase2.Epochs}; set phase2.epochs to 0, or phase2.regime to mixed"));
        }

        if (settings.Modifiers is { Boosting.Enabled: true, Isc.Enabled: true } both
            && (both.Isc.Transfer == Transfer.Identity || both.Isc.Gradient == TransferGradient.Flow))
        {
            bool adds = both.Isc.Transfer == Transfer.Identity;
            yield return (["modifiers.boosting.enabled", adds ? "modifiers.isc.transfer" : "modifiers.isc.gradient"],
                "modifiers.boosting adds the earlier exits' logits as constants; "
                + (adds ? "modifiers.isc.transfer identity adds them again; use fc" : "modifiers.isc.gradient flow trains them; use stop"));
        }

        var modifiers = settings.Modifiers;
        bool stops = modifiers.Isc is { Enabled: true, Gradient: TransferGradient.Stop };
        if (settings.Meta is { Learns: true, Gradient: MetaGradientMethod.FiniteDifference }
            && (modifiers.Ge.Enabled || modifiers.Boosting.Enabled || stops))
        {
            string cause = modifiers.Ge.Enabled ? "rescaled gradients of modifiers.ge"
                : modifiers.Boosting.Enabled ? "stopped gradient of modifiers.boosting" : "stopped gradient of modifiers.isc";
            yield return (["meta.gradient", "modifiers.ge.enabled", "modifiers.boosting.enabled", "modifiers.isc.enabled"],
                $"meta.gradient finiteDifference cannot account for the {cause}; use forward or unrolled");
        }
    }

    /// <summary>The exact lookahead is affine in the gradient of the weighted loss.</summary>
    private static IEnumerable<(string[] Keys, string Problem)> CheckCombination(Settings settings)
    {
        if (settings.Meta is { Learns: true, Interval: > 0 } && !settings.Modifiers.Combination.Value.IsLinear)
        {
            yield return (["modifiers.combination", "meta.enabled", "meta.weights"],
                $"modifiers.combination {settings.Modifiers.Combination.Name} is not the sum of the exits' gradients, which the "
                + $"lookahead of learned weights (meta.enabled, meta.weights {settings.Meta.Weights.Name}) requires; use sum, "
                + "meta.enabled=false, or meta.weights fixed or allocated");
        }
    }

    /// <summary>Meta-GF trains one exit at a time, along the gradient of plain losses.</summary>
    private static IEnumerable<(string[] Keys, string Problem)> CheckMetaGf(Settings settings)
    {
        if (!settings.Modifiers.MetaGf.Enabled)
        {
            yield break;
        }

        if (settings.Meta.Enabled)
        {
            yield return (["modifiers.metaGf.enabled", "meta.enabled"],
                "modifiers.metaGf trains one exit after the other without sample weights; set meta.enabled=false");
        }

        if (settings.Modifiers.Combination.Name != CombinationMethod.Sum.Name)
        {
            yield return (["modifiers.metaGf.enabled", "modifiers.combination"],
                $"modifiers.metaGf fuses the exits itself, but modifiers.combination is {settings.Modifiers.Combination.Name}; use sum");
        }

        if (settings.Phase2.Epochs > 0)
        {
            yield return (["modifiers.metaGf.enabled", "phase2.epochs"],
                Invariant($"modifiers.metaGf is for runs of one phase, but phase2.epochs is {settings.Phase2.Epochs}; set it to 0"));
        }
    }

    private static IEnumerable<(string[] Keys, string Problem)> CheckPrecision(Settings settings)
    {
        if (settings is { Model.Precision: Precision.Tf32, Device: not "cuda" })
        {
            yield return (["model.precision", "device"],
                $"model.precision tf32 needs CUDA's tensor cores, but device is {settings.Device}; use full, or device cuda");
        }

        if (settings.Model.Precision == Precision.Bf16 && settings.Meta.Gradient != MetaGradientMethod.Forward)
        {
            yield return (["model.precision", "meta.gradient"],
                $"model.precision bf16 requires meta.gradient forward: {SettingsSchema.YamlName(settings.Meta.Gradient.ToString())} "
                + "loses too much precision to its rounding; use forward, or full");
        }
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
