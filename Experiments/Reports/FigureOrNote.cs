namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A figure of the runs that have the required table, and a note on those that lack it.</summary>
internal static class FigureOrNote
{
    /// <summary>The figure of the entries that have the required data; a note if none has.</summary>
    /// <param name="all">All entries.</param>
    /// <param name="has">Whether an entry has the data.</param>
    /// <param name="why">Completes "… have": what is missing, and when it would exist.</param>
    /// <param name="figure">Builds the figure of the entries that have it.</param>
    public static Block Create(
        IReadOnlyList<ReportEntry> all, Func<ReportEntry, bool> has, string why, Func<IReadOnlyList<ReportEntry>, Figure> figure)
    {
        ReportEntry[] with = [.. all.Where(has)], without = [.. all.Except(with)];
        Figure drawn = figure(with);
        drawn = drawn with { Views = [.. drawn.Views.Where(view => view.Series.Count > 0)] };
        return drawn.Views.Count == 0
            ? new Note(drawn.Id, drawn.Title, $"Not drawn: no run has {why}.")
            : drawn with
            {
                Missing = without.Length == 0 ? null : $"Omitted, because they do not have {why}: "
                + $"{string.Join("; ", without.Select(entry => entry.Name))}."
            };
    }
}
