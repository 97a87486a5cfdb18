using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// Finds numbers that are not finite in what batches report. What was found stays on the device until somebody looks: looking waits for
/// the device, noting does not.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples of a part, <c>K</c> exits.</remarks>
internal sealed class FiniteWatch : IDisposable
{
    private readonly int _exits;
    private readonly List<(int Batch, Tensor Finite)> _notes = []; // a part's: bool [K losses, objective, K weights]

    /// <param name="exits">K.</param>
    public FiniteWatch(int exits) => _exits = exits;

    /// <summary>Takes in what a batch reported.</summary>
    /// <param name="batch">Its number, from 1.</param>
    /// <param name="parts">Its parts.</param>
    public void Note(int batch, IReadOnlyList<HalfBatchReport> parts)
    {
        using DisposeScope scope = NewDisposeScope();
        foreach (HalfBatchReport part in parts)
        {
            Tensor losses = part.Losses.isfinite().all(0), weights = part.Weights.isfinite().all(0); // [K]
            Tensor objective = part.Objective?.isfinite().view(1) ?? ones([1], ScalarType.Bool, losses.device);
            _notes.Add((batch, scope.Detach(cat([losses, objective, weights]))));
        }
    }

    /// <summary>The first of what was noted that is not finite, such as <c>batch 3, exit 2: the training loss</c>; null: nothing. Forgets the notes.</summary>
    public string? Look()
    {
        if (_notes.Count == 0)
        {
            return null;
        }

        using DisposeScope scope = NewDisposeScope();
        bool[] finite = cat([.. _notes.Select(note => note.Finite)]).cpu().ToArray<bool>();
        int broken = Array.IndexOf(finite, false), length = (2 * _exits) + 1;
        string? found = broken < 0 ? null : FormattableString.Invariant($"batch {_notes[broken / length].Batch}, {Name(broken % length)}");
        Forget();
        return found;
    }

    public void Dispose() => Forget();

    // Weights are 1 + ε times numbers between −2 and 2, unless the network that predicts them took a gradient that is none.
    private string Name(int place) => place == _exits
        ? "the meta objective"
        : FormattableString.Invariant($"exit {(place % (_exits + 1)) + 1}: {(place < _exits ? "the training loss" : "the meta gradient")}");

    private void Forget()
    {
        _notes.ForEach(note => note.Finite.Dispose());
        _notes.Clear();
    }
}
