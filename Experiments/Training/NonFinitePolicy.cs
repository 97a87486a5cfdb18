using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>How a phase handles NaN or infinite losses, gradients and parameters: it fails, or skips and counts such batches.</summary>
internal sealed class NonFinitePolicy(RunContext run, TrainingPhase phase, RunModel model, int batches)
{
    private const int BatchesBetweenChecks = 20; // on a GPU: reading values synchronises with the device

    /// <summary>Whether bad batches are undone and skipped (<c>run.skipNonFinite</c>).</summary>
    public bool Skips => run.Settings.Run.SkipNonFinite;

    /// <summary>
    /// The first NaN or infinite value since the last check, if any. A bad gradient of the backbone shows up in its parameters, which are
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

/// <summary>A run encountered a NaN or infinite value; thrown in all ranks at once. The message says what, where, and what to do.</summary>
internal sealed class NonFiniteException(string message) : CollectiveFailureException(message, exitCode: 1);

/// <summary>Finds numbers that are NaN or infinite.</summary>
internal static class NonFinite
{
    /// <summary>The first tensor of a state with such a number, as named in messages; null: there is none. Waits for the device.</summary>
    public static string? FindIn(StateTree state)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        (string Name, Tensor Value)[] tensors = [.. state.AllTensors];
        bool[] finite = stack([.. tensors.Select(entry => entry.Value.detach().isfinite().all())]).cpu().ToArray<bool>();
        int broken = Array.IndexOf(finite, false);
        return broken < 0 ? null : Named(tensors[broken].Name);
    }

    private static string Named(string tensor) => tensor.Split('.', 2) switch
    {
        [ForeignFile.Backbone, var name] => name,
        [ForeignFile.Optimiser, _] => "momentum",
        [ForeignFile.Weighting, var name] => $"the weight-prediction network's {name}",
        [ForeignFile.WeightingOptimiser, _] => "an Adam moment of the weight-prediction network",
        [IGradientCombination.StateGroup, var name] => $"the combination's {name.Replace('_', ' ')}",
        [MetaGf.StateGroup, _] => "Meta-GF's fusion",
        _ => tensor,
    };
}

/// <summary>A copy of the model state from before a batch that changes it.</summary>
internal sealed class ModelSnapshot(IStateful model) : IDisposable
{
    private readonly StateTree _before = model.State.Copy();

    /// <summary>Restores the model.</summary>
    public void Restore() => model.LoadState(_before);

    public void Dispose()
    {
        foreach ((_, Tensor copy) in _before.AllTensors)
        {
            copy.Dispose();
        }
    }
}
