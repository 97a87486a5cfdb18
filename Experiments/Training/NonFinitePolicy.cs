using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>How a phase handles NaN or infinite losses, gradients and parameters: it fails, or skips and counts such batches.</summary>
internal sealed class NonFinitePolicy(RunContext run, TrainingPhase phase, RunModel model, int batches)
{
    private const int BatchesBetweenChecks = 20; // on a GPU: reading values synchronises with the device

    /// <summary>Whether bad batches are undone and skipped (<c>run.skipNonFinite</c>).</summary>
    public bool Skips => run.Settings.Run.SkipNonFinite;

    /// <summary>
    /// The NaN or infinite values in the batches since the last check. A bad gradient of the backbone shows up in its parameters, which are
    /// checked before any checkpoint (<see cref="CheckModel"/>), and otherwise in the next batch's loss; if batches can be undone, each is
    /// checked, with the parameters after it.
    /// </summary>
    /// <param name="progress">The epoch so far.</param>
    public string? Problem(EpochProgress progress)
    {
        int batch = progress.Batches;
        if (!Skips && run.Device.type != DeviceType.CPU && batch % BatchesBetweenChecks != 0 && batch != batches)
        {
            return null;
        }

        return progress.NonFiniteDetector.FirstNonFinite()
            ?? (Skips && NonFinite.FindIn(model.State) is { } name
                ? FormattableString.Invariant($"batch {batch}, the gradient of {name}")
                : null);
    }

    /// <summary>Undoes a batch and counts it as skipped.</summary>
    /// <exception cref="NonFiniteException">Batches are not skipped.</exception>
    public void Skip(int epoch, string problem, ModelSnapshot? before, EpochProgress progress)
    {
        string what = FormattableString.Invariant($"epoch {epoch}, {problem} is NaN or infinite");
        (before ?? throw new NonFiniteException($"{what}; {Advice()}")).Restore();
        progress.Skipped++;
        progress.SkippedInPass++;
        run.Monitor.WriteLine($"warning: {what}; skipping the batch");
    }

    /// <summary>Ends a pass over the training images.</summary>
    /// <exception cref="NonFiniteException">All of its batches were skipped.</exception>
    public void EndPass(int epoch, EpochProgress progress)
    {
        if (progress.SkippedInPass == batches / model.Passes)
        {
            throw new NonFiniteException($"epoch {epoch}: every batch had NaN or infinite values and was skipped; {Advice()}");
        }

        progress.SkippedInPass = 0;
    }

    /// <exception cref="NonFiniteException">A loss since the last check is NaN or infinite, in some rank.</exception>
    public void CheckLosses(int epoch, EpochProgress progress)
    {
        if (run.ProcessGroup.AllReduceFlags(stop: false, problem: progress.NonFiniteDetector.FirstNonFinite()).Problem is { } problem)
        {
            throw new NonFiniteException($"epoch {epoch}, {problem} is NaN or infinite; {Advice()}");
        }
    }

    /// <summary>Checks the model before a checkpoint, so that every checkpoint can be resumed.</summary>
    /// <exception cref="NonFiniteException">A parameter, buffer or moment is NaN or infinite.</exception>
    public void CheckModel(int epoch)
    {
        if (NonFinite.FindIn(model.State) is { } name)
        {
            throw new NonFiniteException($"epoch {epoch}, {name} is NaN or infinite; {Advice()}");
        }
    }

    private string Advice()
    {
        string rate = phase.Number == 2 ? "phase2.rate" : "train.rate", skip = Skips ? "" : ", or skip such batches with run.skipNonFinite";
        string meta = model.Weighting.Parameters.Count > 0 ? ", meta.epsilon or meta.optimiser.rate" : "";
        return $"the last good checkpoint is {run.Folder.LatestCheckpoint}; restart with a smaller {rate}{meta}{skip}";
    }
}
