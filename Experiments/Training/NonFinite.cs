using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A run met a NaN or an infinity, in all of its ranks at once: the message says what, where, and what to do.</summary>
internal sealed class NonFiniteException(string message) : SharedFailureException(message, exitCode: 1);

/// <summary>Finds a model's numbers that are not finite.</summary>
internal static class NonFinite
{
    /// <summary>Which of a model's tensors is not finite; null: none. Waits for the device.</summary>
    public static string? In(RunModel model)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        IEnumerable<(string Name, Tensor Value)> all = Named(model.Network.state_dict(), "")
            .Concat(model.Optimiser.Buffers.OfType<Tensor>().Select(buffer => ("momentum", buffer)));
        if (model.Weighting is { } weighting)
        {
            all = all.Concat(Named(weighting.Network.state_dict(), "the weight-prediction network's "))
                .Concat(weighting.Optimiser.Means.Concat(weighting.Optimiser.Squares).Select(moment => ("a moment of the weight-prediction network's gradient", moment)));
        }

        return Broken([.. all]);
    }

    /// <summary>Which of a network's tensors is not finite; null: none. Waits for the device.</summary>
    public static string? In(MultiExitNetwork network)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        return Broken([.. Named(network.state_dict(), "")]);
    }

    private static IEnumerable<(string Name, Tensor Value)> Named(Dictionary<string, Tensor> state, string of) => state.Select(entry => (of + entry.Key, entry.Value));

    private static string? Broken((string Name, Tensor Value)[] tensors)
    {
        bool[] finite = stack([.. tensors.Select(entry => entry.Value.detach().isfinite().all())]).cpu().ToArray<bool>();
        int broken = Array.IndexOf(finite, false);
        return broken < 0 ? null : tensors[broken].Name;
    }
}
