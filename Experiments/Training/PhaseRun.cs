using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// One phase of a run, epoch by epoch: every batch through the bilevel loop, validation, tables, checkpoint. Of several processes the first
/// one writes; they stop, save and fail at the same batch.
/// </summary>
internal sealed class PhaseRun
{
    private const int BatchesBetweenLooks = 20; // on a device, which looking at its numbers waits for

    private readonly Settings _run;
    private readonly TrainingPhase _phase;
    private readonly Settings _settings; // of the phase
    private readonly RunData _data;
    private readonly RunModel _model;
    private readonly RunFolder _folder;
    private readonly RunMonitor _monitor;
    private readonly PictureLog _pictures;
    private readonly Device _device;
    private readonly Replicas _replicas;
    private readonly BatchPlan _plan;
    private readonly BatchSource _train;
    private readonly HeldOutMetaData? _metaData;

    public PhaseRun(Settings run, TrainingPhase phase, RunData data, RunModel model, RunFolder folder, RunMonitor monitor, PictureLog pictures, Device device, Replicas replicas)
    {
        (_run, _phase, _settings, _data, _model, _folder, _monitor, _pictures, _device, _replicas) = (run, phase, phase.Settings, data, model, folder, monitor, pictures, device, replicas);
        _plan = new BatchPlan(data.Train.Count, _settings.Train.Batch, _settings.Seed, replicas.Shard);
        _train = new BatchSource(data.Train, data.Normalisation, device);
        _metaData = data.Meta is { } meta && _settings.Meta.HoldsOut ? new HeldOutMetaData(meta, data.Normalisation, _settings, device, replicas.Shard) : null;
    }

    /// <summary>Trains the phase's epochs from <paramref name="first"/> (from 0) on.</summary>
    /// <param name="first">The first epoch that is not done.</param>
    /// <param name="progress">What a checkpoint holds of it; null: it has not begun.</param>
    /// <param name="stop">Ends the phase behind its present batch.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/>; all that is done is in the latest checkpoint.</exception>
    /// <exception cref="NonFiniteException">A loss or a gradient is no finite number; the latest checkpoint is from before.</exception>
    public void Run(int first, TorchDictionary? progress, CancellationToken stop)
    {
        int epochs = _settings.Train.Epochs;
        using EpochProgress begun = Begin(first, progress);
        _monitor.Track((long)epochs * _plan.Batches, ((long)first * _plan.Batches) + begun.Batches, () =>
        {
            for (int epoch = first; epoch < epochs; epoch++)
            {
                using EpochProgress of = epoch == first ? begun : Begin(epoch, progress: null);
                Epoch(epoch, of, stop);
            }
        });
    }

    private EpochProgress Begin(int epoch, TorchDictionary? progress)
    {
        var begun = new EpochProgress(_model.Network.Exits, _data.Train.Count, _device, WritesWeights(epoch));
        if (progress is null)
        {
            return begun;
        }

        _replicas.Together(() => Restore(begun, progress));
        return begun;
    }

    private void Restore(EpochProgress begun, TorchDictionary progress)
    {
        try
        {
            begun.Restore(progress, _replicas);
            ArgumentOutOfRangeException.ThrowIfNegative(begun.Batches);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(begun.Batches, _plan.Batches);
        }
        catch (Exception e) when (e is InvalidDataException or ArgumentException or InvalidOperationException or OverflowException or ExternalException)
        {
            begun.Dispose();
            throw new UsageException($"the checkpoint's unfinished epoch does not fit this run ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); put another of the run's checkpoints in the place of {_folder.LatestCheckpoint}", e);
        }
    }

    private void Epoch(int epoch, EpochProgress progress, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        try
        {
            Train(epoch, progress, stop);
            _replicas.Place = FormattableString.Invariant($"after epoch {_phase.EpochsBefore + epoch + 1}");
            progress.Tally.Close(_replicas); // waits for the device, so it belongs to the training time
            UniteStatistics();
            double trainSeconds = progress.Seconds;
            ExitScore[]? validation = _data.Validation.Count == 0
                ? null
                : SharedAnswers.Of(_model.Network, _data.Validation, _data.Normalisation, _device, _replicas, stop).PerExit();
            _pictures.Write(FormattableString.Invariant($"epoch {_phase.EpochsBefore + epoch + 1}"));
            EpochRow[] rows = progress.Tally.Table(_phase, epoch, RatesAt(epoch, 0), validation, progress.Skipped);
            Save(_phase.EpochsBefore + epoch + 1, rows, progress.Record, trainSeconds, progress.Seconds - trainSeconds);
        }
        catch (OperationCanceledException)
        {
            SaveInside(epoch, progress);
            throw;
        }
    }

    private void Train(int epoch, EpochProgress progress, CancellationToken stop)
    {
        var sinceCheckpoint = Stopwatch.StartNew();
        double minutes = _run.Run.CheckpointMinutes;
        using IEnumerator<LabelledImages>? metaData = _metaData?.Of(LearnedBatches(epoch, progress.Batches)).GetEnumerator();
        foreach (Batch batch in _train.Training(_plan, epoch, _settings.Data.Augment, progress.Batches))
        {
            Agreement agreed;
            _replicas.Place = FormattableString.Invariant($"epoch {_phase.EpochsBefore + epoch + 1}, batch {progress.Batches + 1}");
            using (batch)
            {
                agreed = Step(batch, metaData, epoch, progress, isDue: _replicas.IsFirst && minutes > 0 && sinceCheckpoint.Elapsed.TotalMinutes >= minutes, stop);
            }

            _monitor.Advance($"epoch {_phase.EpochsBefore + epoch + 1}/{_phase.LastEpoch}, batch {progress.Batches}/{_plan.Batches}");
            if (agreed.Stop)
            {
                throw new OperationCanceledException(stop);
            }

            if (agreed.IsDue)
            {
                SaveInside(epoch, progress);
                sinceCheckpoint.Restart();
            }
        }

        if (progress.Skipped == _plan.Batches)
        {
            throw new NonFiniteException($"epoch {_phase.EpochsBefore + epoch + 1}: no batch has finite numbers, and all were skipped; {Advice()}");
        }
    }

    private Agreement Step(Batch batch, IEnumerator<LabelledImages>? metaData, int epoch, EpochProgress progress, bool isDue, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        using ModelSnapshot? before = _run.Run.SkipNonFinite ? new ModelSnapshot(_model) : null;
        IReadOnlyList<PartReport> parts = Parts(new LabelledImages(batch.Images, batch.Labels), metaData, epoch, progress.Batches);
        progress.Watch.Note(++progress.Batches, parts);
        Agreement agreed = _replicas.Agree(stop.IsCancellationRequested, isDue, Problem(progress, withModel: before is not null));
        if (agreed.Problem is { } problem)
        {
            string what = $"epoch {_phase.EpochsBefore + epoch + 1}, {problem} is no finite number";
            (before ?? throw new NonFiniteException($"{what}; {Advice()}")).Restore();
            progress.Skipped++;
            _monitor.Say($"warning: {what}; the batch is skipped");
            return agreed;
        }

        foreach (PartReport part in parts)
        {
            progress.Tally.Add(part);
        }

        progress.Record?.Add(batch, parts);
        return agreed;
    }

    private IReadOnlyList<PartReport> Parts(LabelledImages images, IEnumerator<LabelledImages>? metaData, int epoch, int batch)
    {
        Rates rates = RatesAt(epoch, batch);
        bool learns = _settings.Meta.Learns(batch);
        return metaData is null
            ? _model.Loop.Step(images, rates, learns)
            : [_model.Loop.Part(images, learns && metaData.MoveNext() ? metaData.Current : null, rates)];
    }

    /// <summary>The batches of an epoch from one on that weights are learned by, counted over all epochs.</summary>
    private IEnumerable<long> LearnedBatches(int epoch, int first)
        => Enumerable.Range(first, _plan.Batches - first).Where(_settings.Meta.Learns).Select(batch => ((long)epoch * _plan.Batches) + batch);

    /// <summary>
    /// What is not finite in the batches since the last look. A gradient of the backbone that is not shows in its parameters, which no checkpoint
    /// is written of (<see cref="CheckModel"/>), and else in the next batch's loss.
    /// </summary>
    /// <param name="progress">The epoch so far.</param>
    /// <param name="withModel">Whether a batch can be undone: then each is looked at, and the parameters behind it too.</param>
    private string? Problem(EpochProgress progress, bool withModel)
    {
        int batch = progress.Batches;
        if (!withModel && _device.type != DeviceType.CPU && batch % BatchesBetweenLooks != 0 && batch != _plan.Batches)
        {
            return null;
        }

        return progress.Watch.Look() ?? (withModel && NonFinite.In(_model) is { } name ? FormattableString.Invariant($"batch {batch}, the gradient of {name}") : null);
    }

    private string Advice()
    {
        string rate = _phase.Number == 2 ? "phase2.rate" : "train.rate", skip = _run.Run.SkipNonFinite ? "" : ", or skip such batches by --skip-nonfinite";
        string meta = _settings.Meta.Predicts ? ", meta.epsilon or meta.optimiser.rate" : "";
        return $"the last good checkpoint is {_folder.LatestCheckpoint}; start again with a smaller {rate}{meta}{skip}";
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

    /// <summary>Batch norm's running statistics are those that rank 0 saw, as in PyTorch's DistributedDataParallel.</summary>
    private void UniteStatistics() => _replicas.TakeFirst(_model.Network.buffers());

    /// <summary>Tables first, the latest checkpoint last: on resuming, rows behind the checkpoint are dropped.</summary>
    private void Save(int epochs, EpochRow[] rows, WeightRecord? record, double trainSeconds, double validationSeconds)
    {
        CheckModel(epochs);
        record?.Gather(_replicas);
        if (!_replicas.IsFirst)
        {
            return;
        }

        bool best = rows[0].ValidationLoss is not null && BestEpoch.IsBetter(rows, _folder.Epochs, _run.Run.BestBy);
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

        int every = _run.Run.CheckpointEvery;
        foreach (string file in (string[])[.. best ? [_folder.BestCheckpoint] : Array.Empty<string>(), .. every > 0 && epochs % every == 0 ? [_folder.EpochCheckpoint(epochs)] : Array.Empty<string>()])
        {
            Checkpoint.Write(file, _run, _phase, _model, epochs);
        }

        Checkpoint.Write(_folder.LatestCheckpoint, _run, _phase, _model, epochs, previous: _folder.PreviousCheckpoint);
        _monitor.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"epoch {epochs}/{_phase.LastEpoch}: train loss {rows.Sum(row => row.TrainLoss):0.000}, {Validation(rows)}{_data.Train.Count / trainSeconds:0} images/s"));
    }

    private static string Validation(EpochRow[] rows) => rows[0].ValidationAccuracy is null
        ? ""
        : $"validation accuracy {RunMonitor.PerExit(rows.Select(row => row.ValidationAccuracy!.Value))} %, ";

    private void SaveInside(int epoch, EpochProgress progress)
    {
        int done = _phase.EpochsBefore + epoch;
        if (_replicas.Agree(stop: false, problem: progress.Watch.Look()).Problem is { } problem)
        {
            throw new NonFiniteException($"epoch {done + 1}, {problem} is no finite number; {Advice()}");
        }

        UniteStatistics();
        CheckModel(done + 1);
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary content = progress.Content(_replicas);
        if (_replicas.IsFirst)
        {
            Checkpoint.Write(_folder.LatestCheckpoint, _run, _phase, _model, done, content, _folder.PreviousCheckpoint);
        }
    }

    /// <summary>No checkpoint holds what cannot be gone on from.</summary>
    private void CheckModel(int epoch)
    {
        if (NonFinite.In(_model) is { } name)
        {
            throw new NonFiniteException($"epoch {epoch}, {name} is no finite number; {Advice()}");
        }
    }
}
