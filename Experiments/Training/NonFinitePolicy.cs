using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What a phase does about losses, gradients and parameters that are NaN or infinite: it ends, or skips and counts such batches.</summary>
internal sealed class NonFinitePolicy(RunContext run, TrainingPhase phase, RunModel model, int batches)
{
    private const int BatchesBetweenLooks = 20; // on a device, which looking at its numbers waits for

    /// <summary>Whether a batch is undone and skipped (<c>run.skipNonFinite</c>).</summary>
    public bool Skips => run.Settings.Run.SkipNonFinite;

    /// <summary>
    /// What is not finite in the batches since the last look. A gradient of the backbone that is not shows in its parameters, which no checkpoint
    /// is written of (<see cref="CheckModel"/>), and else in the next batch's loss; where a batch can be undone each is looked at, with the
    /// parameters after it.
    /// </summary>
    /// <param name="progress">The epoch so far.</param>
    public string? Problem(EpochProgress progress)
    {
        int batch = progress.Batches;
        if (!Skips && run.Device.type != DeviceType.CPU && batch % BatchesBetweenLooks != 0 && batch != batches)
        {
            return null;
        }

        return progress.Watch.Look()
            ?? (Skips && NonFinite.In(model.State) is { } name ? FormattableString.Invariant($"batch {batch}, the gradient of {name}") : null);
    }

    /// <summary>Undoes and counts a batch.</summary>
    /// <exception cref="NonFiniteException">Batches are not skipped.</exception>
    public void Skip(int epoch, string problem, ModelSnapshot? before, EpochProgress progress)
    {
        string what = FormattableString.Invariant($"epoch {epoch}, {problem} is no finite number");
        (before ?? throw new NonFiniteException($"{what}; {Advice()}")).Restore();
        progress.Skipped++;
        run.Monitor.Say($"warning: {what}; the batch is skipped");
    }

    /// <exception cref="NonFiniteException">All batches of an epoch were skipped.</exception>
    public void CheckSkipped(int epoch, EpochProgress progress)
    {
        if (progress.Skipped == batches)
        {
            throw new NonFiniteException($"epoch {epoch}: no batch has finite numbers, and all were skipped; {Advice()}");
        }
    }

    /// <exception cref="NonFiniteException">A loss since the last look is not finite, in some rank.</exception>
    public void CheckLosses(int epoch, EpochProgress progress)
    {
        if (run.Replicas.Agree(stop: false, problem: progress.Watch.Look()).Problem is { } problem)
        {
            throw new NonFiniteException($"epoch {epoch}, {problem} is no finite number; {Advice()}");
        }
    }

    /// <summary>No checkpoint holds what cannot be resumed from.</summary>
    /// <exception cref="NonFiniteException">A parameter, buffer or moment is not finite.</exception>
    public void CheckModel(int epoch)
    {
        if (NonFinite.In(model.State) is { } name)
        {
            throw new NonFiniteException($"epoch {epoch}, {name} is no finite number; {Advice()}");
        }
    }

    private string Advice()
    {
        string rate = phase.Number == 2 ? "phase2.rate" : "train.rate", skip = Skips ? "" : ", or skip such batches by --skip-nonfinite";
        string meta = model.Weighting.Parameters.Count > 0 ? ", meta.epsilon or meta.optimiser.rate" : "";
        return $"the last good checkpoint is {run.Folder.LatestCheckpoint}; start again with a smaller {rate}{meta}{skip}";
    }
}
