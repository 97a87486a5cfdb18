namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A figure for the runs that have the required table, with a note on those that lack it.</summary>
internal static class FigureOrNote
{
    /// <summary>The most entries in a figure that has a view or many points for each of them, so that the page stays small.</summary>
    public const int Detailed = 20;

    /// <summary>The figure of the entries that have the required data; a note if none has.</summary>
    /// <param name="all">All entries.</param>
    /// <param name="has">Whether an entry has the data.</param>
    /// <param name="why">Completes "… have": what is missing, and when it would exist.</param>
    /// <param name="figure">Builds the figure of the entries that have it.</param>
    /// <param name="most">The most entries it shows: the first ones.</param>
    public static Block Create(
        IReadOnlyList<ReportEntry> all, Func<ReportEntry, bool> has, string why, Func<IReadOnlyList<ReportEntry>, Figure> figure,
        int most = int.MaxValue)
    {
        ReportEntry[] with = [.. all.Where(has).Take(most)]; // lazily: what an entry has may take long to read
        int seen = with.Length < most ? all.Count : all.TakeWhile(entry => entry != with[^1]).Count() + 1;
        ReportEntry[] without = [.. all.Take(seen).Except(with)];
        string more = seen < all.Count ? $"Only the first {most} are shown; for the others, make reports of their own folders." : "";
        Figure drawn = figure(with);
        drawn = drawn with { Views = [.. drawn.Views.Where(view => view.Series.Count > 0)] };
        return drawn.Views.Count == 0
            ? new Note(drawn.Id, drawn.Title, $"Not drawn: no run has {why}.")
            : drawn with { Missing = Missing(without, why, more) };
    }

    private static string? Missing(ReportEntry[] without, string why, string more)
    {
        string names = without.Length > Detailed ? $"{without.Length} runs" : string.Join("; ", without.Select(entry => entry.Name));
        string omitted = without.Length > 0 ? $"Omitted, because they do not have {why}: {names}." : "";
        return $"{more} {omitted}".Trim() is [_, ..] text ? text : null;
    }
}
