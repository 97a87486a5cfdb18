using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A run met a number that is not finite: its message says what, where, and what to do.</summary>
internal sealed class NonFiniteException(string message) : ArithmeticException(message);

/// <summary>Finds numbers that are not finite.</summary>
internal static class NonFinite
{
    /// <summary>What of a batch is not finite, such as <c>exit 2: the training loss</c>; null: nothing. Waits for the device.</summary>
    /// <param name="parts">The batch's parts.</param>
    public static string? In(IReadOnlyList<PartReport> parts)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor[] all = [.. parts.SelectMany(part => new[] { part.Losses, part.Weights, part.Objective }).OfType<Tensor>()];
        if (stack([.. all.Select(values => values.isfinite().all())]).all().item<bool>())
        {
            return null; // as a rule, with one wait
        }

        foreach (PartReport part in parts)
        {
            if (Exit(part.Losses) is { } ofLoss)
            {
                return FormattableString.Invariant($"exit {ofLoss}: the training loss");
            }

            if (part.Objective is { } objective && Exit(objective.view(1, 1)) is not null)
            {
                return "the meta objective";
            }

            // Weights are 1 + ε times numbers between −2 and 2, unless the network that predicts them took a gradient that is none.
            if (Exit(part.Weights) is { } ofWeight)
            {
                return FormattableString.Invariant($"exit {ofWeight}: the meta gradient");
            }
        }

        return null;
    }

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
        bool[] finite = stack([.. tensors.Select(entry => entry.Value.detach().isfinite().all())]).cpu().data<bool>().ToArray();
        int broken = Array.IndexOf(finite, false);
        return broken < 0 ? null : tensors[broken].Name;
    }

    /// <summary>The first exit, from 1, whose column of <c>[N, K]</c> has such a number.</summary>
    private static int? Exit(Tensor values)
    {
        bool[] finite = values.isfinite().to_type(int64).sum([0]).eq(values.shape[0]).cpu().data<bool>().ToArray(); // [K]
        int broken = Array.IndexOf(finite, false);
        return broken < 0 ? null : broken + 1;
    }
}
