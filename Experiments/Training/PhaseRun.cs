using System.Diagnostics;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// One phase of a run, epoch by epoch: bilevel training of every batch, validation, tables, checkpoint. All ranks stop, save and fail
/// at the same batch.
/// </summary>
internal sealed class PhaseRun
{
    private readonly RunContext _run;
    private readonly TrainingPhase _phase;
    private readonly Settings _settings; // the phase's
    private readonly RunModel _model;
    private readonly BatchPlan _plan; // of a pass over the training images
    private readonly int _batches; // of an epoch
    private readonly BatchSource _train;
    private readonly HeldOutMetaData? _metaData;
    private readonly NonFinitePolicy _nonFinite;
    private readonly PhaseWriter _writer;

    public PhaseRun(RunContext run, TrainingPhase phase, RunModel model)
    {
        (_run, _phase, _settings, _model) = (run, phase, phase.Settings, model);
        RunData data = run.Data;
        _plan = new BatchPlan(data.Train.Count, _settings.Train.Batch, SeedOf(phase), run.ProcessGroup.Shard);
        _batches = checked(_plan.Batches * model.Passes);
        _train = new BatchSource(data.Train, data.Normalisation, run.Device);
        _metaData = data.Meta is { } meta && _settings.Meta.UsesHeldOutData
            ? new HeldOutMetaData(meta, data.Normalisation, _settings, run.Device, run.ProcessGroup.Shard)
            : null;
        _nonFinite = new NonFinitePolicy(run, phase, model, _batches);
        _writer = new PhaseWriter(run, phase, model, _nonFinite);
    }

    /// <summary>Trains the phase's epochs from <paramref name="first"/> on.</summary>
    /// <param name="first">The first epoch to train, from 0.</param>
    /// <param name="progress">Its partial state from a checkpoint; null if it has not started.</param>
    /// <param name="stop">Stops the phase after the current batch.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was requested; all work done is in the latest
    /// checkpoint.</exception>
    /// <exception cref="NonFiniteException">A loss or a gradient is NaN or infinite; the latest checkpoint predates it.</exception>
    public void Run(int first, StateTree? progress, CancellationToken stop)
    {
        int epochs = _settings.Train.Epochs;
        using EpochProgress begun = StartEpoch(first, progress);
        _run.Monitor.Track((long)epochs * _batches, ((long)first * _batches) + begun.Batches, () =>
        {
            for (int epoch = first; epoch < epochs; epoch++)
            {
                using EpochProgress of = epoch == first ? begun : StartEpoch(epoch, progress: null);
                RunEpoch(epoch, of, stop);
            }
        });
    }

    /// <summary>
    /// The seed of orders and augmentations: a second phase that continues training the network gets others than the first; one that
    /// freezes it gets the same.
    /// </summary>
    private static long SeedOf(TrainingPhase phase) => phase.Number == 1 || phase.FreezesNetwork
        ? phase.Settings.Seed
        : unchecked((long)SeedSequence.Derive(phase.Settings.Seed, SeedSequence.PhaseTwo));

    private int RunEpochNumber(int epoch) => _phase.EpochsBefore + epoch + 1; // within the run, from 1

    private EpochProgress StartEpoch(int epoch, StateTree? progress)
    {
        int every = _settings.Export.WeightsEvery;
        bool recordsWeights = epoch + 1 == _settings.Train.Epochs || (every > 0 && RunEpochNumber(epoch) % every == 0);
        var begun = new EpochProgress(_run.Columns, _model.Network.Exits, _run.Data.Train.Count, _run.Device, recordsWeights);
        if (progress is not null)
        {
            _run.ProcessGroup.RunCollectively(() => Restore(begun, progress));
        }

        return begun;
    }

    private void Restore(EpochProgress begun, StateTree progress)
    {
        try
        {
            begun.Restore(progress, _run.ProcessGroup);
            ArgumentOutOfRangeException.ThrowIfNegative(begun.Batches);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(begun.Batches, _batches);
        }
        catch (Exception e) when (e is InvalidDataException or ArgumentException or InvalidOperationException
            or OverflowException or ExternalException)
        {
            begun.Dispose();
            string why = Failure.Reason(e).TrimEnd('.');
            throw new UsageException(
                $"the checkpoint's unfinished epoch does not fit this run ({why}); replace {_run.Folder.LatestCheckpoint} with another "
                    + "checkpoint of the run", e);
        }
    }

    private void RunEpoch(int epoch, EpochProgress progress, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        try
        {
            TrainEpoch(epoch, progress, stop);
            _run.ProcessGroup.Location = FormattableString.Invariant($"after epoch {RunEpochNumber(epoch)}");
            progress.Statistics.Finish(_run.ProcessGroup); // waits for the device, so it counts as training time
            _writer.SyncNormStatistics();
            double trainSeconds = progress.Seconds;
            ExitMetrics[]? validation = _run.Data.Validation.Count == 0
                ? null
                : DistributedEvaluation.Evaluate(
                    _model.Network, _run.Data.Validation, _run.Data.Normalisation, _run.Device, _run.ProcessGroup, stop)
                    .PerExit();
            _run.Pictures.Write(FormattableString.Invariant($"epoch {RunEpochNumber(epoch)}"));
            _model.EndEpoch(); // after the last point where a stop would save the epoch as unfinished
            double?[][] rows = progress.Statistics.Rows(ExitsAfter(epoch, validation, progress.Skipped));
            _writer.WriteEpoch(RunEpochNumber(epoch), rows, progress.SampleWeights, trainSeconds, progress.Seconds - trainSeconds);
        }
        catch (OperationCanceledException)
        {
            _writer.WriteMidEpoch(RunEpochNumber(epoch), progress);
            throw;
        }
    }

    private IEnumerable<ExitEpoch> ExitsAfter(int epoch, ExitMetrics[]? validation, int skipped)
    {
        LearningRates rates = RatesAt(epoch, 0);
        return Enumerable.Range(0, _model.Network.Exits).Select(k => new ExitEpoch
        {
            Epoch = RunEpochNumber(epoch),
            Phase = _phase.Number,
            Exit = k + 1,
            Rate = rates.Backbone,
            MetaRate = _settings.Meta.Learns ? rates.Meta : null,
            ValidationLoss = validation?[k].Loss,
            ValidationAccuracy = validation?[k].Top1,
            SkippedBatches = skipped,
        });
    }

    private void TrainEpoch(int epoch, EpochProgress progress, CancellationToken stop)
    {
        var sinceCheckpoint = Stopwatch.StartNew();
        double minutes = _run.Settings.Run.CheckpointMinutes;
        using IEnumerator<LabelledImages>? metaData = _metaData?.Batches(LearnedBatches(epoch, progress.Batches)).GetEnumerator();
        foreach (Batch batch in _train.Training(_plan, BatchesFrom(epoch, progress.Batches), _settings.Data.Augment))
        {
            CollectiveStatus agreed;
            _run.ProcessGroup.Location = FormattableString.Invariant($"epoch {RunEpochNumber(epoch)}, batch {progress.Batches + 1}");
            using (batch)
            {
                bool isDue = _run.ProcessGroup.IsRankZero && minutes > 0 && sinceCheckpoint.Elapsed.TotalMinutes >= minutes;
                agreed = Step(batch, metaData, epoch, progress, isDue, stop);
            }

            if (progress.Batches % _plan.Batches == 0)
            {
                _nonFinite.EndPass(RunEpochNumber(epoch), progress);
            }

            _run.Monitor.Advance(
                $"epoch {RunEpochNumber(epoch)}/{_phase.LastEpoch}, batch {progress.Batches}/{_batches}",
                () => progress.ProgressText(RatesAt(epoch, (progress.Batches - 1) % _plan.Batches).Backbone));
            if (agreed.Stop)
            {
                throw new OperationCanceledException(stop);
            }

            if (agreed.IsCheckpointDue)
            {
                _writer.WriteMidEpoch(RunEpochNumber(epoch), progress);
                sinceCheckpoint.Restart();
            }
        }
    }

    /// <summary>The remaining batches of an epoch, pass by pass; each pass has its own order and augmentation.</summary>
    private IEnumerable<(int Epoch, int Batch)> BatchesFrom(int epoch, int first) => Enumerable.Range(first, _batches - first)
        .Select(batch => (checked((epoch * _model.Passes) + (batch / _plan.Batches)), batch % _plan.Batches));

    private CollectiveStatus Step(
        Batch batch, IEnumerator<LabelledImages>? metaData, int epoch, EpochProgress progress, bool isDue, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        using ModelSnapshot? before = _nonFinite.Skips ? new ModelSnapshot(_model) : null;
        IReadOnlyList<HalfBatchReport> halves = TrainHalfBatches(
            new LabelledImages(batch.Images, batch.Labels), metaData, epoch, progress.Batches);
        progress.NonFiniteDetector.Record(++progress.Batches, halves);
        CollectiveStatus agreed = _run.ProcessGroup.AllReduceFlags(stop.IsCancellationRequested, isDue, _nonFinite.Problem(progress));
        if (agreed.Problem is { } problem)
        {
            _nonFinite.Skip(RunEpochNumber(epoch), problem, before, progress);
            return agreed;
        }

        if (progress.Batches > _batches - _plan.Batches) // the tables describe the last pass
        {
            foreach (HalfBatchReport half in halves)
            {
                progress.Statistics.Add(half);
            }

            progress.SampleWeights?.Add(batch, halves);
        }

        return agreed;
    }

    private IReadOnlyList<HalfBatchReport> TrainHalfBatches(
        LabelledImages images, IEnumerator<LabelledImages>? metaData, int epoch, int batch)
    {
        (int pass, int within) = Math.DivRem(batch, _plan.Batches);
        bool learns = _model.Weighting.Learns(within);
        return _model.Step(
            images, RatesAt(epoch, within), new PassPosition(epoch, _settings.Train.Epochs, pass), learns,
            heldOut: learns && metaData?.MoveNext() == true ? metaData.Current : null);
    }

    /// <summary>The batches of an epoch, from a given one, that update the WPN, numbered over all epochs.</summary>
    private IEnumerable<long> LearnedBatches(int epoch, int first)
        => Enumerable.Range(first, _plan.Batches - first).Where(_model.Weighting.Learns)
            .Select(batch => ((long)epoch * _plan.Batches) + batch);

    private LearningRates RatesAt(int epoch, int batch)
    {
        double factor = RateSchedule.Factor(_settings.Train, epoch, batch, _plan.Batches);
        return new LearningRates(_settings.Train.Rate * factor, _settings.Meta.Optimiser.Rate * factor);
    }
}
