namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A figure of the runs that have its table, and a sentence about those that lack it.</summary>
internal static class FigureOrNote
{
    /// <summary>The figure of the entries that have what it needs; a note where none has.</summary>
    /// <param name="all">All entries.</param>
    /// <param name="has">Whether an entry has it.</param>
    /// <param name="why">Ends "… have": what they do not have, and when it is there.</param>
    /// <param name="figure">Of those that have it.</param>
    public static Block Of(IReadOnlyList<Entry> all, Func<Entry, bool> has, string why, Func<IReadOnlyList<Entry>, Figure> figure)
    {
        Entry[] with = [.. all.Where(has)], without = [.. all.Except(with)];
        Figure drawn = figure(with);
        drawn = drawn with { Views = [.. drawn.Views.Where(view => view.Series.Count > 0)] };
        return drawn.Views.Count == 0
            ? new Note(drawn.Id, drawn.Title, $"Not drawn: no run has {why}.")
            : drawn with { Missing = without.Length == 0 ? null : $"Left out, because they do not have {why}: {string.Join("; ", without.Select(entry => entry.Name))}." };
    }
}
