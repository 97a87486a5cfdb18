namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>How the tensors of a file fit those of a network, by name and shape.</summary>
/// <param name="Matched">Names that both have, in one shape.</param>
/// <param name="Missing">What the network needs and the file lacks.</param>
/// <param name="Unexpected">What the file has and the network does not.</param>
/// <param name="WrongShape">What both have in other shapes: name and shapes.</param>
internal sealed record StateFit(int Matched, IReadOnlyList<string> Missing, IReadOnlyList<string> Unexpected, IReadOnlyList<string> WrongShape)
{
    private const int Shown = 10;

    // Batch norm counts its batches only to average over all of them, which no network here does; PyTorch before 0.4.1 did not count.
    private const string Count = ".num_batches_tracked";

    /// <summary>Whether the network gets all that it needs.</summary>
    public bool Fits => Missing.Count + WrongShape.Count == 0;

    public static StateFit Of(IReadOnlyDictionary<string, Tensor> network, IReadOnlyDictionary<string, Tensor> file)
    {
        string[] common = [.. network.Keys.Where(file.ContainsKey)];
        string[] wrong = [.. common.Where(name => !network[name].shape.SequenceEqual(file[name].shape))];
        return new StateFit(
            common.Length - wrong.Length,
            [.. network.Keys.Where(name => !file.ContainsKey(name) && !IsCount(name))],
            [.. file.Keys.Where(name => !network.ContainsKey(name) && !IsCount(name)).Select(Terminal.OneLine)],
            [.. wrong.Select(name => $"{name} is [{string.Join(", ", file[name].shape)}] and not [{string.Join(", ", network[name].shape)}]")]);
    }

    /// <summary>A table of two columns: how many fit and do not, then which do not.</summary>
    public IReadOnlyList<IReadOnlyList<string[]>> Table()
    {
        (string What, IReadOnlyList<string> Names)[] misfits = [("missing in the file", Missing), ("unexpected in the file", Unexpected), ("of wrong shape", WrongShape)];
        return
        [
            [["matched", $"{Matched}"], .. misfits.Select(misfit => (string[])[misfit.What, $"{misfit.Names.Count}"])],
            .. misfits.Where(misfit => misfit.Names.Count > 0).Select(misfit => (string[][])[.. First(misfit.Names, Shown).Select(name => (string[])[misfit.What, name])]),
        ];
    }

    /// <summary>What does not fit, for one line: how many of each, and the first.</summary>
    public string Problem() => string.Join(", and ", new[]
    {
        Missing.Count == 0 ? "" : $"{Missing.Count} of the network's tensors are missing ({Example(Missing)})",
        WrongShape.Count == 0 ? "" : $"{WrongShape.Count} have another shape ({Example(WrongShape)})",
    }.Where(text => text.Length > 0));

    /// <summary>What is left over, for one line; null: nothing.</summary>
    public string? Surplus() => Unexpected.Count == 0 ? null : $"{Unexpected.Count} of its tensors are not in the network and are left out ({Example(Unexpected)})";

    private static bool IsCount(string name) => name.EndsWith(Count, StringComparison.Ordinal);

    private static string Example(IReadOnlyList<string> names) => string.Join(", ", First(names, 1));

    private static IEnumerable<string> First(IReadOnlyList<string> names, int most)
        => names.Count > most ? [.. names.Take(most), $"and {names.Count - most} more"] : names;
}
