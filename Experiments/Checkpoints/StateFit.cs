namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>How the tensors of a file fit those of a network, by name and shape.</summary>
/// <param name="Matched">Names in both, with equal shapes.</param>
/// <param name="Missing">Names required by the network but missing from the file.</param>
/// <param name="Unexpected">Names in the file but not in the network.</param>
/// <param name="WrongShape">Names in both with different shapes, and the shapes.</param>
internal sealed record StateFit(
    IReadOnlyList<string> Matched, IReadOnlyList<string> Missing, IReadOnlyList<string> Unexpected, IReadOnlyList<string> WrongShape)
{
    private const int Shown = 10;

    // num_batches_tracked only matters for cumulative averaging, which no network here uses; PyTorch before 0.4.1 did not have it.
    private const string Count = ".num_batches_tracked";

    /// <summary>Whether the network gets all tensors it needs.</summary>
    public bool Fits => Missing.Count + WrongShape.Count == 0;

    public static StateFit Compare(IReadOnlyDictionary<string, Tensor> network, IReadOnlyDictionary<string, Tensor> file)
    {
        string[] common = [.. network.Keys.Where(file.ContainsKey)];
        string[] wrong = [.. common.Where(name => !network[name].shape.SequenceEqual(file[name].shape))];
        return new StateFit(
            [.. common.Except(wrong)],
            [.. network.Keys.Where(name => !file.ContainsKey(name) && !IsCount(name))],
            [.. file.Keys.Where(name => !network.ContainsKey(name) && !IsCount(name)).Select(Terminal.Sanitize)],
            [
                .. wrong.Select(name => $"{name} is {ShapeText(file[name])} and not {ShapeText(network[name])}")
            ]);
    }

    /// <summary>A two-column table: the counts, then the names that do not fit.</summary>
    public IReadOnlyList<IReadOnlyList<string[]>> Table()
    {
        (string What, IReadOnlyList<string> Names)[] misfits =
        [
            ("missing from the file", Missing), ("unexpected in the file", Unexpected), ("with the wrong shape", WrongShape),
        ];
        return
        [
            [["matched", $"{Matched.Count}"], .. misfits.Select(misfit => (string[])[misfit.What, $"{misfit.Names.Count}"])],
            .. misfits.Where(misfit => misfit.Names.Count > 0)
                .Select(misfit => (string[][])[.. First(misfit.Names, Shown).Select(name => (string[])[misfit.What, name])]),
        ];
    }

    /// <summary>Describes mismatches in one line: the counts and the first of each kind.</summary>
    public string Problem() => string.Join(", and ", new[]
    {
        Missing.Count == 0 ? "" : $"{Missing.Count} of the network's tensors are missing ({Example(Missing)})",
        WrongShape.Count == 0 ? "" : $"{WrongShape.Count} have a different shape ({Example(WrongShape)})",
    }.Where(text => text.Length > 0));

    /// <summary>The prefix under which the file has all of these missing names, such as <c>backbone.</c>; null: there is none.</summary>
    public string? PrefixOf(IReadOnlyList<string> missing) => missing.Count == 0
        ? null
        : Unexpected.Where(name => name.EndsWith($".{missing[0]}", StringComparison.Ordinal))
            .Select(name => name[..^missing[0].Length])
            .FirstOrDefault(prefix => !missing.Select(name => prefix + name).Except(Unexpected).Any());

    /// <summary>Describes unexpected tensors in one line; null if none.</summary>
    public string? DescribeUnexpected()
        => Unexpected.Count == 0
            ? null
            : $"{Unexpected.Count} of its tensors are not in the network and are ignored ({Example(Unexpected)})";

    /// <summary>Whether a tensor, by its name, only counts batches: it may be missing.</summary>
    public static bool IsCount(string name) => name.EndsWith(Count, StringComparison.Ordinal);

    private static string Example(IReadOnlyList<string> names) => string.Join(", ", First(names, 1));

    private static IEnumerable<string> First(IReadOnlyList<string> names, int most)
        => names.Count > most ? [.. names.Take(most), $"and {names.Count - most} more"] : names;
}
