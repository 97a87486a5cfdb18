using System.Globalization;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// Writes the files of a phase: tables, sample weights and checkpoints, after each epoch; checkpoints also within one. Rank 0 writes for
/// all.
/// </summary>
internal sealed class PhaseWriter(RunContext run, TrainingPhase phase, RunModel model, NonFinitePolicy nonFinite)
{
    private readonly RunFolder _folder = run.Folder;
    private readonly TensorBoardLog? _curves
        = run.Settings.Export.Tensorboard && run.ProcessGroup.IsRankZero ? new TensorBoardLog(run.Folder.TensorBoard) : null;

    /// <summary>Batch norm's running statistics are those of rank 0, as in PyTorch's DistributedDataParallel.</summary>
    public void SyncNormStatistics() => run.ProcessGroup.BroadcastFromRankZero(model.Network.buffers());

    /// <summary>Writes a finished epoch: tables first, the latest checkpoint last, as resuming drops rows after the checkpoint.</summary>
    /// <param name="epoch">The run's epoch, from 1.</param>
    /// <param name="rows">Its rows of <c>epochs.csv</c>, one per exit with a value per column.</param>
    /// <param name="weights">Its sample weights; null if they are not written.</param>
    /// <param name="trainSeconds">Training time in seconds.</param>
    /// <param name="validationSeconds">Validation time in seconds.</param>
    public void WriteEpoch(int epoch, double?[][] rows, SampleWeightRecorder? weights, double trainSeconds, double validationSeconds)
    {
        nonFinite.CheckModel(epoch);
        weights?.Gather(run.ProcessGroup);
        if (!run.ProcessGroup.IsRankZero)
        {
            return;
        }

        double speed = (double)run.Data.Train.Count * model.Passes / trainSeconds;
        CsvTable.Append(_folder.Epochs, run.Columns.Select(column => column.Name), rows);
        CsvTable.Append(_folder.Timing, [new TimingRow
        {
            Epoch = epoch,
            TrainSeconds = Math.Round(trainSeconds, 3),
            TrainImagesPerSecond = Math.Round(speed, 1),
            ValidationSeconds = Math.Round(validationSeconds, 3),
            PeakMemoryMib = Math.Round(EnvironmentReport.PeakMemoryMib(), 1),
        }]);
        _curves?.Write(run.Columns, rows, speed);
        if (weights is not null)
        {
            CsvTable.Write(_folder.Weights(epoch), weights.Table(run.Data.Train));
        }

        IReadOnlyList<SavedEpoch> epochs = CsvTable.Read<SavedEpoch>(_folder.Epochs);
        if (epochs.Count == 0)
        {
            throw new IOException($"Could not find {_folder.Epochs}, which this run had just written");
        }

        if (epochs[^1].ValidationLoss is not null && BestEpoch.IsLast(epochs, run.Settings.Run.BestBy))
        {
            Write(_folder.BestCheckpoint, epoch);
        }

        int every = run.Settings.Run.CheckpointEvery;
        if (every > 0 && epoch % every == 0)
        {
            Write(_folder.EpochCheckpoint(epoch), epoch);
        }

        Write(_folder.LatestCheckpoint, epoch, previous: _folder.PreviousCheckpoint);
        Tell([.. epochs.TakeLast(rows.Length)], speed);
    }

    /// <summary>Writes a mid-epoch checkpoint, to resume from the next batch.</summary>
    /// <param name="epoch">The run's epoch, from 1.</param>
    /// <param name="progress">Its state so far.</param>
    public void WriteMidEpoch(int epoch, EpochProgress progress)
    {
        nonFinite.CheckLosses(epoch, progress);
        SyncNormStatistics();
        nonFinite.CheckModel(epoch);
        using DisposeScope scope = NewDisposeScope();
        StateTree content = progress.GatherState(run.ProcessGroup);
        if (run.ProcessGroup.IsRankZero)
        {
            Write(_folder.LatestCheckpoint, epoch - 1, content, _folder.PreviousCheckpoint);
        }
    }

    private void Write(string file, int epochs, StateTree? progress = null, string? previous = null)
        => Checkpoint.Write(file, run.Settings, phase, model.State, epochs, progress, previous);

    private void Tell(SavedEpoch[] rows, double speed)
    {
        string loss = string.Join(' ', rows.Select(row => row.TrainLoss.ToString("0.000", CultureInfo.InvariantCulture)));
        run.Monitor.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"epoch {rows[0].Epoch}/{phase.LastEpoch}: train loss {loss}, {Validation(rows)}{speed:0} images/s"));
    }

    private static string Validation(SavedEpoch[] rows) => rows[0].ValidationAccuracy is null
        ? ""
        : $"validation accuracy {RunMonitor.FormatPercentages(rows.Select(row => row.ValidationAccuracy!.Value))} %, ";
}

/// <summary>Selects the best epoch of a phase on the validation images, which must exist.</summary>
internal static class BestEpoch
{
    /// <summary>Whether the last epoch is better than all earlier ones of its phase.</summary>
    /// <param name="rows">The rows of <c>epochs.csv</c>.</param>
    /// <param name="by">The selection criterion.</param>
    public static bool IsLast(IReadOnlyList<SavedEpoch> rows, BestBy by)
    {
        double[] merits = [.. rows
            .Where(row => row.Phase == rows[^1].Phase)
            .GroupBy(row => row.Epoch)
            .Select(epoch => Score([.. epoch], by))];
        return merits[..^1].All(merit => merit < merits[^1]);
    }

    /// <summary>Higher is better; NaN is the lowest.</summary>
    private static double Score(SavedEpoch[] rows, BestBy by)
        => Value(rows, by) is var merit && double.IsNaN(merit) ? double.NegativeInfinity : merit;

    private static double Value(SavedEpoch[] rows, BestBy by) => by switch
    {
        BestBy.LastAccuracy => rows[^1].ValidationAccuracy!.Value,
        BestBy.MeanAccuracy => rows.Average(row => row.ValidationAccuracy!.Value),
        BestBy.LastLoss => -rows[^1].ValidationLoss!.Value,
        _ => -rows.Average(row => row.ValidationLoss!.Value),
    };
}
