using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A summary of the run, for the log and the screen.</summary>
internal static class RunSummary
{
    public static IEnumerable<string> Lines(RunContext run, PreparedModel prepared)
    {
        (Settings settings, RunData data, RunModel model) = (run.Settings, run.Data, prepared.Model);
        IEnumerable<string> findings = prepared.Findings.Select(finding => finding.Line);
        foreach (string warning in data.Warnings.Concat(findings).Concat(prepared.Phases.SelectMany(Late)))
        {
            yield return $"warning: {warning}";
        }

        long parameters = model.Network.parameters().Sum(parameter => parameter.numel());
        bool isDistributed = run.ProcessGroup.IsDistributed;
        string ranks = isDistributed ? FormattableString.Invariant($"{settings.Processes} ranks with ") : "";
        int threads = get_num_threads();
        string each = isDistributed ? " each" : "";
        string description = Description(settings, prepared.Phases[0], model.Weighting);
        yield return FormattableString.Invariant($"{settings.Name}, seed {settings.Seed}: {description}, ")
            + FormattableString.Invariant($"{model.Network.GetName()} with {model.Network.Exits} exits and {parameters:N0} parameters ")
            + FormattableString.Invariant($"on {run.Device}, {ranks}{Terminal.Count(threads, "thread")}{each}");
        if (prepared.Origin is { } origin)
        {
            yield return origin;
        }

        string meta = data.Meta is null ? "" : FormattableString.Invariant($" {data.Meta.Count:N0} held-out meta,");
        yield return FormattableString.Invariant($"{data.Train.Count:N0} training,{meta} {data.Validation.Count:N0} validation and ")
            + FormattableString.Invariant($"{data.Test.Count:N0} test images of {data.Classes} classes; run folder {run.Folder.Path}");
        if (settings.Data.Dataset == DatasetKind.Pictures)
        {
            (string mean, string std) = (List(data.Normalisation.Mean), List(data.Normalisation.Std));
            yield return $"pictures of {DatasetShape.For(settings.Data).Images} pixels; red, green, blue: "
                + $"mean {mean}, standard deviation {std}";
        }

        if (settings.Data.Imbalance.Type != ImbalanceProfile.None)
        {
            long[] counts = data.Train.ClassCounts();
            yield return FormattableString.Invariant(
                $"imbalanced classes: {counts.Max():N0} training images in the largest, {counts.Min():N0} in the smallest");
        }

        yield return prepared.Requirements;
        if (prepared is { CompletedEpochs: not null, Origin: null })
        {
            string inside = prepared.Progress?.Numbers.TryGetValue("batch", out double batch) == true
                ? FormattableString.Invariant($", batch {batch}")
                : "";
            yield return FormattableString.Invariant(
                $"resuming after epoch {prepared.CompletedEpochs} of {prepared.Phases[^1].LastEpoch}{inside}");
        }
    }

    private static string List(IEnumerable<double> numbers)
        => string.Join(", ", numbers.Select(number => number.ToString(CultureInfo.InvariantCulture)));

    /// <summary>Milestones that the phase does not reach.</summary>
    private static IEnumerable<string> Late(TrainingPhase phase)
    {
        TrainOptions train = phase.Settings.Train;
        int[] late = [.. train.Milestones.Where(milestone => milestone >= train.Epochs)];
        if (train.Schedule == RateScheduleKind.MultiStep && late.Length > 0)
        {
            string group = phase.Number == 1 ? "train" : "phase2";
            yield return FormattableString.Invariant($"{group}.milestones {string.Join(", ", late)}: training ends after epoch ")
                + FormattableString.Invariant($"{train.Epochs}, so they never lower the learning rate; set smaller ones, or more epochs");
        }
    }

    /// <summary>What distinguishes training by these settings from plain training.</summary>
    public static string Methods(Settings settings, ISampleWeighting weighting)
    {
        string[] methods =
        [
            weighting.Description,
            .. settings.Modifiers.Ge.Enabled ? ["GE"] : Array.Empty<string>(),
            .. settings.Modifiers.Isc.Enabled ? ["ISC"] : Array.Empty<string>(),
            .. settings.Modifiers.Boosting.Enabled ? ["boosting"] : Array.Empty<string>(),
            .. settings.Loss.Ofa.Enabled ? ["OFA"] : Array.Empty<string>(),
            .. settings.Modifiers.MetaGf.Enabled ? ["Meta-GF"] : Array.Empty<string>(),
            .. settings.Modifiers.Combination.Value == CombinationMethod.Sum
                ? Array.Empty<string>() : [settings.Modifiers.Combination.Name],
        ];
        return string.Join(" + ", methods);
    }

    /// <summary>The methods and phases; in the mixed regime, where the phases' methods differ, those of the first.</summary>
    private static string Description(Settings run, TrainingPhase first, ISampleWeighting weighting)
    {
        bool isMixed = run.Phase2.Regime == PhaseTwoRegime.Mixed;
        string phases = run.Phase2.Epochs == 0 ? "" : run.Phase2.From is { } source ? $", phase II of {source}" : ", two phases";
        return Methods(isMixed ? first.Settings : run, weighting) + phases + (isMixed ? " (mixed)" : "");
    }
}
