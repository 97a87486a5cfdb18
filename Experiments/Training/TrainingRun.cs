using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>Trains a run's phases in turn, then evaluates the final network on the test set.</summary>
internal sealed class TrainingRun(RunContext run)
{
    private readonly RunFolder _folder = run.Folder;
    private readonly RunData _data = run.Data;

    /// <summary>Runs the remaining phases.</summary>
    /// <param name="prepared">The phases and model; the model is disposed.</param>
    /// <param name="stop">Stops the run after the current batch.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was requested; all work done is in the latest
    /// checkpoint.</exception>
    public void Run(PreparedModel prepared, CancellationToken stop)
    {
        RunModel model = prepared.Model;
        try
        {
            for (int p = 0; p < prepared.Phases.Count; p++)
            {
                TrainingPhase phase = prepared.Phases[p];
                model = p == 0 ? model : NextPhase(prepared.Phases[p - 1], phase, model);
                if (run.ProcessGroup.IsRankZero)
                {
                    CsvTable.Write(_folder.Cost, CostRow.Table(CostOf(model.Network)));
                }

                int done = Math.Max(0, (prepared.CompletedEpochs ?? 0) - phase.EpochsBefore);
                new PhaseRun(run, phase, model).Run(done, p == 0 ? prepared.Progress : null, stop);
            }

            Test(model.Network, stop);
            ReportDifficulty(model.Weighting, prepared.Phases[^1]);
        }
        finally
        {
            model.Dispose();
        }
    }

    private NetworkCost CostOf(MultiExitNetwork network) => network.Cost(DatasetShape.For(run.Settings.Data).Side);

    /// <summary>Writes the checkpoint of the finished phase and builds the next phase's model from its network.</summary>
    private RunModel NextPhase(TrainingPhase over, TrainingPhase next, RunModel model)
    {
        using (model)
        {
            if (run.ProcessGroup.IsRankZero)
            {
                Checkpoint.Write(_folder.PhaseOneCheckpoint, run.Settings, over, model.State, over.LastEpoch);
            }

            RunModel second = RunModel.Build(next, _data.Train.ClassCounts(), run.Device, run.ProcessGroup, model.DetachNetwork());
            long trained = second.Network.Parameters.Sum(parameter => parameter.numel());
            string epochs = FormattableString.Invariant($"epochs {next.EpochsBefore + 1} to {next.LastEpoch}");
            run.Monitor.WriteLine(next.FreezesNetwork
                ? FormattableString.Invariant($"phase II: the network is frozen, {trained:N0} new parameters will be trained in {epochs}")
                : FormattableString.Invariant($"phase II: all {trained:N0} parameters will be trained by all exits in {epochs}: ")
                    + RunSummary.Methods(next.Settings, second.Weighting));
            return second;
        }
    }

    private void Test(MultiExitNetwork network, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        run.ProcessGroup.Location = "the test";
        Predictions Answers(ImageSet set)
            => DistributedEvaluation.Evaluate(
                network, set, _data.Normalisation, run.Device, run.ProcessGroup, stop, run.Settings.Export.Logits);
        (Predictions validation, Predictions test) = (Answers(_data.Validation), Answers(_data.Test));
        run.Pictures.Write("validation and test");
        if (!run.ProcessGroup.IsRankZero)
        {
            return;
        }

        var report = new EvaluationReport(validation, test, CostOf(network));
        report.Write(_folder.Evaluation, _data.Train.ClassCounts(), policy: null, run.Settings.Export.Predictions);
        run.Monitor.WriteLine(
            $"test accuracy of exits 1 to {network.Exits}: {RunMonitor.FormatPercentages(report.Anytime.Select(row => row.Top1))} %");
    }

    /// <summary>Reports how the last epoch's weights correlate with the images' difficulty, if known.</summary>
    private void ReportDifficulty(ISampleWeighting weighting, TrainingPhase last)
    {
        if (!run.ProcessGroup.IsRankZero || !last.Settings.Meta.Enabled || _data.Train.Difficulty is null)
        {
            return;
        }

        RankCorrelation[] exits = RankCorrelation.WithDifficulty(CsvTable.Read<WeightRow>(_folder.Weights(last.LastEpoch)));
        run.Monitor.WriteLine(
            $"{weighting.Description} vs. known difficulty (Spearman's rank correlation, 95 % interval; exits 1 to {exits.Length}): "
            + $"{string.Join(", ", exits)}: at the first exit {exits[0].Interpretation}, at the last {exits[^1].Interpretation}");
    }
}

/// <summary>The context shared by all parts of a run's training.</summary>
/// <param name="Settings">The run's settings.</param>
/// <param name="Data">Its data set.</param>
/// <param name="Folder">Its folder, written only by rank 0.</param>
/// <param name="Monitor">Shows and logs progress; silent in other ranks.</param>
/// <param name="Device">The device of this rank.</param>
/// <param name="ProcessGroup">The process group.</param>
internal sealed record RunContext(
    Settings Settings, RunData Data, RunFolder Folder, RunMonitor Monitor, Device Device, ProcessGroup ProcessGroup)
{
    /// <summary>The columns of <c>epochs.csv</c>.</summary>
    public IReadOnlyList<EpochColumn> Columns { get; init; } = EpochColumn.Defaults;

    /// <summary>Counts the images read.</summary>
    public ImageReadLog Pictures { get; } = new(Data.Pictures, ProcessGroup, Monitor);
}
