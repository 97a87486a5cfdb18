using System.Diagnostics;
using System.Globalization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Inference;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>One phase of a run, epoch by epoch: every batch through the bilevel loop, validation, tables, checkpoint.</summary>
internal sealed class PhaseRun
{
    private readonly Settings _run;
    private readonly TrainingPhase _phase;
    private readonly Settings _settings; // of the phase
    private readonly RunData _data;
    private readonly RunModel _model;
    private readonly RunFolder _folder;
    private readonly RunMonitor _monitor;
    private readonly Device _device;
    private readonly BatchPlan _plan;
    private readonly BatchSource _train;

    public PhaseRun(Settings run, TrainingPhase phase, RunData data, RunModel model, RunFolder folder, RunMonitor monitor, Device device)
    {
        (_run, _phase, _settings, _data, _model, _folder, _monitor, _device) = (run, phase, phase.Settings, data, model, folder, monitor, device);
        _plan = new BatchPlan(data.Train.Count, _settings.Train.Batch, _settings.Seed);
        _train = new BatchSource(data.Train, data.Normalisation, device);
    }

    /// <summary>Trains the phase's epochs from <paramref name="first"/> (from 0) on.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/>; the last finished epoch is in the checkpoint.</exception>
    public void Run(int first, CancellationToken stop)
    {
        int epochs = _settings.Train.Epochs;
        _monitor.Track(epochs * _plan.Batches, first * _plan.Batches, () =>
        {
            for (int epoch = first; epoch < epochs; epoch++)
            {
                Epoch(epoch, stop);
            }
        });
    }

    private void Epoch(int epoch, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        using var tally = new EpochTally(_model.Network.Exits, _device);
        WeightRecord? record = WritesWeights(epoch) ? new WeightRecord(_model.Network.Exits) : null;
        var clock = Stopwatch.StartNew();
        int number = 0;
        foreach (Batch batch in _train.Training(_plan, epoch, _settings.Data.Augment))
        {
            stop.ThrowIfCancellationRequested();
            Step(batch, epoch, number, tally, record);
            _monitor.Advance($"epoch {_phase.EpochsBefore + epoch + 1}/{_phase.LastEpoch}, batch {++number}/{_plan.Batches}");
        }

        tally.Close(); // waits for the device, so it belongs to the training time
        double trainSeconds = clock.Elapsed.TotalSeconds;
        ExitScore[] validation = SetAnswers.Of(_model.Network, _data.Validation, _data.Normalisation, ExitCriteria.Confidence, _device, stop).PerExit();
        EpochRow[] rows = tally.Table(_phase, epoch, RatesAt(epoch, 0), validation);
        Save(_phase.EpochsBefore + epoch + 1, rows, record, trainSeconds, clock.Elapsed.TotalSeconds - trainSeconds);
    }

    private void Step(Batch batch, int epoch, int number, EpochTally tally, WeightRecord? record)
    {
        using DisposeScope scope = NewDisposeScope();
        using (batch)
        {
            IReadOnlyList<PartReport> parts = _model.Loop.Step(new LabelledImages(batch.Images, batch.Labels), RatesAt(epoch, number), _settings.Meta.Learns(number));
            foreach (PartReport part in parts)
            {
                tally.Add(part);
            }

            record?.Add(batch, parts);
        }
    }

    private Rates RatesAt(int epoch, int batch)
    {
        double factor = RateSchedule.Factor(_settings.Train, epoch, batch, _plan.Batches);
        return new Rates(_settings.Train.Rate * factor, _settings.Meta.Optimiser.Rate * factor);
    }

    private bool WritesWeights(int epoch)
    {
        int every = _settings.Export.WeightsEvery;
        return epoch + 1 == _settings.Train.Epochs || (every > 0 && (_phase.EpochsBefore + epoch + 1) % every == 0);
    }

    /// <summary>Tables first, the checkpoint last: on resuming, rows behind the checkpoint are dropped.</summary>
    private void Save(int epochs, EpochRow[] rows, WeightRecord? record, double trainSeconds, double validationSeconds)
    {
        CsvTable.Append(_folder.Epochs, rows);
        CsvTable.Append(_folder.Timing, [new TimingRow
        {
            Epoch = epochs,
            TrainSeconds = Math.Round(trainSeconds, 3),
            TrainImagesPerSecond = Math.Round(_data.Train.Count / trainSeconds, 1),
            ValidationSeconds = Math.Round(validationSeconds, 3),
            PeakMemoryMib = Math.Round(EnvironmentReport.PeakMemoryMib(), 1),
        }]);
        if (record is not null)
        {
            CsvTable.Write(_folder.Weights(epochs), record.Table(_data.Train));
        }

        Checkpoint.Write(_folder.LatestCheckpoint, _run, _phase, _model, epochs);
        _monitor.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"epoch {epochs}/{_phase.LastEpoch}: train loss {rows.Sum(row => row.TrainLoss):0.000}, validation accuracy {RunMonitor.PerExit(rows.Select(row => row.ValidationAccuracy))} %, {_data.Train.Count / trainSeconds:0} images/s"));
        if (rows.Any(row => !double.IsFinite(row.TrainLoss)))
        {
            _monitor.Say($"warning: the training loss is no longer a finite number; a smaller {(_phase.Number == 2 ? "phase2" : "train")}.rate may help");
        }
    }
}
