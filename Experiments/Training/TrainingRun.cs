using System.Globalization;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>Trains a run's phases in turn, then tests the last epoch's network.</summary>
internal sealed class TrainingRun
{
    private readonly Settings _settings;
    private readonly RunData _data;
    private readonly RunFolder _folder;
    private readonly RunMonitor _monitor;
    private readonly Device _device;
    private readonly Replicas _replicas;
    private readonly PictureLog _pictures;

    public TrainingRun(Settings settings, RunData data, RunFolder folder, RunMonitor monitor, Device device, Replicas replicas)
        => (_settings, _data, _folder, _monitor, _device, _replicas, _pictures) = (settings, data, folder, monitor, device, replicas, new PictureLog(data.Pictures, replicas, monitor));

    /// <summary>Runs the phases from one on.</summary>
    /// <param name="phases">The phases that are left.</param>
    /// <param name="model">What the first of them trains; it is disposed.</param>
    /// <param name="done">Epochs of the run that are done.</param>
    /// <param name="progress">What a checkpoint holds of the epoch behind them; null: it has not begun.</param>
    /// <param name="stop">Ends the run behind its present batch.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/>; all that is done is in the latest checkpoint.</exception>
    public void Run(IReadOnlyList<TrainingPhase> phases, RunModel model, int done, TorchDictionary? progress, CancellationToken stop)
    {
        try
        {
            for (int p = 0; p < phases.Count; p++)
            {
                TrainingPhase phase = phases[p];
                model = p == 0 ? model : NextPhase(phases[p - 1], phase, model);
                if (_replicas.IsFirst)
                {
                    CsvTable.Write(_folder.Cost, CostRow.Table(model.Network.Cost(DatasetShape.Of(_settings.Data).Side)));
                }

                new PhaseRun(_settings, phase, _data, model, _folder, _monitor, _pictures, _device, _replicas).Run(Math.Max(0, done - phase.EpochsBefore), p == 0 ? progress : null, stop);
            }

            Test(model.Network, stop);
            TellDifficulty(phases[^1].LastEpoch);
        }
        finally
        {
            model.Dispose();
        }
    }

    /// <summary>Keeps the checkpoint of the phase that is over, and makes what the next one trains of its network.</summary>
    private RunModel NextPhase(TrainingPhase over, TrainingPhase next, RunModel model)
    {
        using (model)
        {
            if (_replicas.IsFirst)
            {
                Checkpoint.Write(_folder.PhaseOneCheckpoint, _settings, over, model, over.LastEpoch);
            }

            RunModel second = RunModel.Build(next, _data.Train.ClassCounts(), _device, _replicas, model.ReleaseNetwork());
            long trained = second.Network.Parameters.Sum(parameter => parameter.numel());
            _monitor.Say(FormattableString.Invariant($"phase II: the network is frozen, {trained:N0} new parameters are trained in epochs {next.EpochsBefore + 1} to {next.LastEpoch}"));
            return second;
        }
    }

    /// <summary>How the last epoch's weights relate to the images' difficulty, where it is known.</summary>
    private void TellDifficulty(int epochs)
    {
        if (!_replicas.IsFirst || !_settings.Meta.Enabled || _data.Train.Difficulty is null)
        {
            return;
        }

        double[] correlation = WeightRecord.DifficultyCorrelation(CsvTable.Read<WeightRow>(_folder.Weights(epochs)));
        string values = string.Join(", ", correlation.Select(r => r.ToString("+0.00;-0.00", CultureInfo.InvariantCulture)));
        _monitor.Say($"learned weights against known difficulty (Spearman's rank correlation, exits 1 to {correlation.Length}): {values}: at the first exit {Reading(correlation[0])}, at the last {Reading(correlation[^1])}");
    }

    private static string Reading(double correlation) => correlation switch
    {
        < -0.05 => "easy images weigh more",
        > 0.05 => "hard images weigh more",
        _ => "no clear relation",
    };

    private void Test(MultiExitNetwork network, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        _replicas.Place = "the test";
        SetAnswers Answers(ImageSet set) => SharedAnswers.Of(network, set, _data.Normalisation, _device, _replicas, stop);
        (SetAnswers validation, SetAnswers test) = (Answers(_data.Validation), Answers(_data.Test));
        _pictures.Write("validation and test");
        if (!_replicas.IsFirst)
        {
            return;
        }

        var report = new TestReport(validation, test, network.Cost(DatasetShape.Of(_settings.Data).Side));
        report.Write(_folder.Test, _data.Train.ClassCounts(), policy: null, _settings.Export.Predictions);
        _monitor.Say($"test accuracy of exits 1 to {network.Exits}: {RunMonitor.PerExit(report.Anytime.Select(row => row.Top1))} %");
    }
}
