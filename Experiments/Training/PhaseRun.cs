using System.Diagnostics;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;
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
    private readonly BatchPlan _plan;
    private readonly BatchSource _train;
    private readonly HeldOutMetaData? _metaData;
    private readonly NonFinitePolicy _nonFinite;
    private readonly PhaseWriter _writer;

    public PhaseRun(RunContext run, TrainingPhase phase, RunModel model)
    {
        (_run, _phase, _settings, _model) = (run, phase, phase.Settings, model);
        RunData data = run.Data;
        _plan = new BatchPlan(data.Train.Count, _settings.Train.Batch, _settings.Seed, run.Replicas.Shard);
        _train = new BatchSource(data.Train, data.Normalisation, run.Device);
        _metaData = data.Meta is { } meta && _settings.Meta.HoldsOut
            ? new HeldOutMetaData(meta, data.Normalisation, _settings, run.Device, run.Replicas.Shard)
            : null;
        _nonFinite = new NonFinitePolicy(run, phase, model, _plan.Batches);
        _writer = new PhaseWriter(run, phase, model, _nonFinite);
    }

    /// <summary>Trains the phase's epochs from <paramref name="first"/> (from 0) on.</summary>
    /// <param name="first">The first epoch to train.</param>
    /// <param name="progress">Its partial state from a checkpoint; null if it has not started.</param>
    /// <param name="stop">Stops the phase after the current batch.</param>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was requested; all work done is in the latest checkpoint.</exception>
    /// <exception cref="NonFiniteException">A loss or a gradient is NaN or infinite; the latest checkpoint predates it.</exception>
    public void Run(int first, StateTree? progress, CancellationToken stop)
    {
        int epochs = _settings.Train.Epochs;
        using EpochProgress begun = Begin(first, progress);
        _run.Monitor.Track((long)epochs * _plan.Batches, ((long)first * _plan.Batches) + begun.Batches, () =>
        {
            for (int epoch = first; epoch < epochs; epoch++)
            {
                using EpochProgress of = epoch == first ? begun : Begin(epoch, progress: null);
                Epoch(epoch, of, stop);
            }
        });
    }

    private int Number(int epoch) => _phase.EpochsBefore + epoch + 1; // within the run, from 1

    private EpochProgress Begin(int epoch, StateTree? progress)
    {
        int every = _settings.Export.WeightsEvery;
        bool recordsWeights = epoch + 1 == _settings.Train.Epochs || (every > 0 && Number(epoch) % every == 0);
        var begun = new EpochProgress(_run.Columns, _model.Network.Exits, _run.Data.Train.Count, _run.Device, recordsWeights);
        if (progress is not null)
        {
            _run.Replicas.Together(() => Restore(begun, progress));
        }

        return begun;
    }

    private void Restore(EpochProgress begun, StateTree progress)
    {
        try
        {
            begun.Restore(progress, _run.Replicas);
            ArgumentOutOfRangeException.ThrowIfNegative(begun.Batches);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(begun.Batches, _plan.Batches);
        }
        catch (Exception e) when (e is InvalidDataException or ArgumentException or InvalidOperationException or OverflowException or ExternalException)
        {
            begun.Dispose();
            string why = e.Message.ReplaceLineEndings(" ").TrimEnd('.');
            throw new UsageException(
                $"the checkpoint's unfinished epoch does not fit this run ({why}); replace {_run.Folder.LatestCheckpoint} with another checkpoint of the run", e);
        }
    }

    private void Epoch(int epoch, EpochProgress progress, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        try
        {
            Train(epoch, progress, stop);
            _run.Replicas.Place = FormattableString.Invariant($"after epoch {Number(epoch)}");
            progress.Tally.Close(_run.Replicas); // waits for the device, so it counts as training time
            _writer.UniteStatistics();
            double trainSeconds = progress.Seconds;
            ExitScore[]? validation = _run.Data.Validation.Count == 0
                ? null
                : SharedAnswers.Of(_model.Network, _run.Data.Validation, _run.Data.Normalisation, _run.Device, _run.Replicas, stop).PerExit();
            _run.Pictures.Write(FormattableString.Invariant($"epoch {Number(epoch)}"));
            double?[][] rows = progress.Tally.Rows(ExitsAfter(epoch, validation, progress.Skipped));
            _writer.WriteEpoch(Number(epoch), rows, progress.Record, trainSeconds, progress.Seconds - trainSeconds);
        }
        catch (OperationCanceledException)
        {
            _writer.WriteUnfinished(Number(epoch), progress);
            throw;
        }
    }

    private IEnumerable<ExitEpoch> ExitsAfter(int epoch, ExitScore[]? validation, int skipped)
    {
        Rates rates = RatesAt(epoch, 0);
        return Enumerable.Range(0, _model.Network.Exits).Select(k => new ExitEpoch
        {
            Epoch = Number(epoch),
            Phase = _phase.Number,
            Exit = k + 1,
            Rate = rates.Backbone,
            MetaRate = _settings.Meta.Predicts ? rates.Meta : null,
            ValidationLoss = validation?[k].Loss,
            ValidationAccuracy = validation?[k].Top1,
            SkippedBatches = skipped,
        });
    }

    private void Train(int epoch, EpochProgress progress, CancellationToken stop)
    {
        var sinceCheckpoint = Stopwatch.StartNew();
        double minutes = _run.Settings.Run.CheckpointMinutes;
        using IEnumerator<LabelledImages>? metaData = _metaData?.Of(LearnedBatches(epoch, progress.Batches)).GetEnumerator();
        foreach (Batch batch in _train.Training(_plan, epoch, _settings.Data.Augment, progress.Batches))
        {
            Agreement agreed;
            _run.Replicas.Place = FormattableString.Invariant($"epoch {Number(epoch)}, batch {progress.Batches + 1}");
            using (batch)
            {
                bool isDue = _run.Replicas.IsFirst && minutes > 0 && sinceCheckpoint.Elapsed.TotalMinutes >= minutes;
                agreed = Step(batch, metaData, epoch, progress, isDue, stop);
            }

            _run.Monitor.Advance($"epoch {Number(epoch)}/{_phase.LastEpoch}, batch {progress.Batches}/{_plan.Batches}");
            if (agreed.Stop)
            {
                throw new OperationCanceledException(stop);
            }

            if (agreed.IsDue)
            {
                _writer.WriteUnfinished(Number(epoch), progress);
                sinceCheckpoint.Restart();
            }
        }

        _nonFinite.CheckSkipped(Number(epoch), progress);
    }

    private Agreement Step(Batch batch, IEnumerator<LabelledImages>? metaData, int epoch, EpochProgress progress, bool isDue, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        using ModelSnapshot? before = _nonFinite.Skips ? new ModelSnapshot(_model) : null;
        IReadOnlyList<HalfBatchReport> parts = Parts(new LabelledImages(batch.Images, batch.Labels), metaData, epoch, progress.Batches);
        progress.Watch.Note(++progress.Batches, parts);
        Agreement agreed = _run.Replicas.Agree(stop.IsCancellationRequested, isDue, _nonFinite.Problem(progress));
        if (agreed.Problem is { } problem)
        {
            _nonFinite.Skip(Number(epoch), problem, before, progress);
            return agreed;
        }

        foreach (HalfBatchReport part in parts)
        {
            progress.Tally.Add(part);
        }

        progress.Record?.Add(batch, parts);
        return agreed;
    }

    private IReadOnlyList<HalfBatchReport> Parts(LabelledImages images, IEnumerator<LabelledImages>? metaData, int epoch, int batch)
    {
        Rates rates = RatesAt(epoch, batch);
        bool learns = _model.Weighting.Learns(batch);
        return _model.Loop.Step(images, rates, learns, heldOut: learns && metaData?.MoveNext() == true ? metaData.Current : null);
    }

    /// <summary>The batches of an epoch, from a given one, that update the WPN, numbered over all epochs.</summary>
    private IEnumerable<long> LearnedBatches(int epoch, int first)
        => Enumerable.Range(first, _plan.Batches - first).Where(_model.Weighting.Learns).Select(batch => ((long)epoch * _plan.Batches) + batch);

    private Rates RatesAt(int epoch, int batch)
    {
        double factor = RateSchedule.Factor(_settings.Train, epoch, batch, _plan.Batches);
        return new Rates(_settings.Train.Rate * factor, _settings.Meta.Optimiser.Rate * factor);
    }
}
