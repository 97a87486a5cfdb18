namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The exits that a figure of several runs lets one choose from: networks may have different numbers of them.</summary>
/// <param name="Label">In the list.</param>
/// <param name="Of">The exit, of a network with so many.</param>
internal sealed record ExitChoice(string Label, Func<int, int> Of)
{
    /// <summary>Last exits first.</summary>
    public static IEnumerable<ExitChoice> UpTo(int exits)
        => [new ExitChoice("last exit", last => last), .. Enumerable.Range(1, exits).Select(exit => new ExitChoice($"exit {exit}", _ => exit))];
}
