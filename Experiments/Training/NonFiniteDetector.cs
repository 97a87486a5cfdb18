using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// Detects NaN and infinite values in batch reports. The results stay on the device until queried: querying waits for
/// the device, recording does not.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples per half batch, <c>K</c> exits.</remarks>
internal sealed class NonFiniteDetector : IDisposable
{
    private readonly int _exits;
    private readonly List<(int Batch, Tensor Finite)> _records = []; // per half batch: bool [K losses, objective, K weights]

    /// <param name="exits">The number of exits K.</param>
    public NonFiniteDetector(int exits) => _exits = exits;

    /// <summary>Records the reports of a batch.</summary>
    /// <param name="batch">The batch number, from 1.</param>
    /// <param name="halves">The reports of its halves.</param>
    public void Record(int batch, IReadOnlyList<HalfBatchReport> halves)
    {
        using DisposeScope scope = NewDisposeScope();
        foreach (HalfBatchReport half in halves)
        {
            Tensor losses = half.Losses.isfinite().all(0), weights = half.Weights.isfinite().all(0); // [K]
            Tensor objective = half.Objective?.isfinite().view(1) ?? ones([1], ScalarType.Bool, losses.device);
            _records.Add((batch, scope.Detach(cat([losses, objective, weights]))));
        }
    }

    /// <summary>
    /// The first recorded value that is NaN or infinite, such as <c>batch 3, exit 2: training loss</c>; null if none. Clears the
    /// records.
    /// </summary>
    public string? FirstNonFinite()
    {
        if (_records.Count == 0)
        {
            return null;
        }

        using DisposeScope scope = NewDisposeScope();
        bool[] finite = cat([.. _records.Select(note => note.Finite)]).cpu().ToArray<bool>();
        int broken = Array.IndexOf(finite, false), length = (2 * _exits) + 1;
        string? found = broken < 0
            ? null
            : FormattableString.Invariant($"batch {_records[broken / length].Batch}, {Name(broken % length)}");
        Clear();
        return found;
    }

    public void Dispose() => Clear();

    // Weights are bounded, unless the WPN was updated with a NaN or infinite gradient.
    private string Name(int index) => index == _exits
        ? "meta objective"
        : FormattableString.Invariant($"exit {(index % (_exits + 1)) + 1}: {(index < _exits ? "training loss" : "meta gradient")}");

    private void Clear()
    {
        _records.ForEach(note => note.Finite.Dispose());
        _records.Clear();
    }
}
