using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A run that is ready to train: its phases from one on, and the model of that one; of a run that goes on, the epochs that are done.</summary>
internal sealed record RunSummary(
    Settings Settings, IReadOnlyList<TrainingPhase> Phases, RunData Data, RunModel Model, RunFolder Folder, Device Device, Replicas Replicas, string Needs, IReadOnlyList<Finding> Findings, int? Done, TorchDictionary? Progress)
{
    /// <summary>What is about to happen, for the log and the screen.</summary>
    public IEnumerable<string> Lines()
    {
        foreach (string warning in Data.Warnings.Concat(Findings.Select(finding => finding.Line)))
        {
            yield return $"warning: {warning}";
        }

        long parameters = Model.Network.parameters().Sum(parameter => parameter.numel());
        yield return FormattableString.Invariant($"{Settings.Name}, seed {Settings.Seed}: {Method()}, {Model.Network.GetName()} with {Model.Network.Exits} exits and {parameters:N0} parameters on {Device}, {(Replicas.AreSeveral ? FormattableString.Invariant($"{Settings.Processes} ranks with ") : "")}{get_num_threads()} thread{(get_num_threads() == 1 ? "" : "s")}{(Replicas.AreSeveral ? " each" : "")}");
        string meta = Data.Meta is null ? "" : FormattableString.Invariant($" {Data.Meta.Count:N0} held-out meta,");
        yield return FormattableString.Invariant($"{Data.Train.Count:N0} training,{meta} {Data.Validation.Count:N0} validation and {Data.Test.Count:N0} test images of {Data.Classes} classes; run folder {Folder.Path}");
        if (Settings.Data.Imbalance.Type != ImbalanceProfile.None)
        {
            long[] counts = Data.Train.ClassCounts();
            yield return FormattableString.Invariant($"imbalanced classes: {counts.Max():N0} training images of the largest, {counts.Min():N0} of the smallest");
        }

        yield return Needs;
        if (Done is not null)
        {
            string inside = Progress?.Entries.GetValueOrDefault("batch") is TorchInteger(var batch) ? FormattableString.Invariant($", batch {batch}") : "";
            yield return FormattableString.Invariant($"going on after epoch {Done} of {Phases[^1].LastEpoch}{inside}");
        }
    }

    /// <summary>What makes this run another than plain training.</summary>
    private string Method()
    {
        string[] parts =
        [
            !Settings.Meta.Enabled ? "plain training" : Settings.Meta.Weights switch
            {
                WeightRule.Fixed => "fixed sample weights",
                WeightRule.Allocated => "allocated training samples",
                _ => Settings.Meta.Wpn.Output == WpnOutput.Sigmoid ? "learned sample weights (Meta-Weight-Net)" : "learned sample weights",
            },
            .. Settings.Modifiers.Ge.Enabled ? ["GE"] : Array.Empty<string>(),
            .. Settings.Modifiers.Isc.Enabled ? ["ISC"] : Array.Empty<string>(),
            .. Settings.Loss.Ofa.Enabled ? ["OFA"] : Array.Empty<string>(),
        ];
        string phases = Settings.Phase2.Epochs == 0 ? "" : Settings.Phase2.From is { } source ? $", phase II of {source}" : ", two phases";
        return string.Join(" + ", parts) + phases;
    }
}
