namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The exit selection of a figure with several runs, whose networks may have different numbers of exits.</summary>
/// <param name="Label">The label in the list.</param>
/// <param name="Select">Maps the number of exits of a network to the exit.</param>
internal sealed record ExitChoice(string Label, Func<int, int> Select)
{
    /// <summary>Last exits first.</summary>
    public static IEnumerable<ExitChoice> UpTo(int exits)
        =>
        [
            new ExitChoice("last exit", last => last),
            .. Enumerable.Range(1, exits).Select(exit => new ExitChoice($"exit {exit}", _ => exit)),
        ];
}
