using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A run encountered a NaN or infinite value; thrown in all ranks at once. The message says what, where, and what to do.</summary>
internal sealed class NonFiniteException(string message) : CollectiveFailureException(message, exitCode: 1);

/// <summary>Finds numbers that are NaN or infinite.</summary>
internal static class NonFinite
{
    /// <summary>The first tensor of a state that has one, as a message names it; null: there is none. Waits for the device.</summary>
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
