namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Builds a report from its runs.</summary>
internal static class ReportBuilder
{
    /// <param name="sources">The runs and sweeps.</param>
    /// <param name="points">External results.</param>
    /// <exception cref="UsageException">A table of a run is damaged.</exception>
    public static Report Build(ReportSources sources, IReadOnlyList<Series> points)
    {
        IReadOnlyList<ReportEntry> entries = sources.Entries;
        (string Title, Block?[] Blocks)[] sections =
        [
            .. sources.Sweeps.Select((sweep, k) => ($"Sweep {sweep.Name}", (Block?[])[.. SweepStatistics.Build(sweep, k + 1)])),
            ("Results", [ResultTables.Exits(entries), ResultTables.Budgets(entries)]),
            ("Accuracy against cost",
                [AccuracyFigures.Anytime(entries), AccuracyFigures.Budgeted(entries, points), AccuracyFigures.Latency(entries)]),
            ("Training",
                [
                    TrainingFigures.Accuracy(entries), TrainingFigures.ValidationLoss(entries), TrainingFigures.Loss(entries),
                    TrainingFigures.MetaLoss(entries), TrainingFigures.Rates(entries),
                ]),
            ("Exits",
                [
                    ShareFigure.Build(entries), DepthFigures.Difficulty(entries), DepthFigures.Overthinking(entries),
                    AnswerFigures.Reliability(entries), ExitTable.Build(entries), RankFigure.Build(entries),
                ]),
            ("Sample weights",
                [
                    WeightFigures.AgainstLoss(entries), WeightFigures.AgainstConfidence(entries), WeightFigures.AgainstDifficulty(entries),
                    TrainingFigures.Weights(entries),
                ]),
            ("Classes", [ClassFigures.GroupMeans(entries), ClassFigures.Classes(entries), AnswerFigures.Confusion(entries)]),
            ("Time", [TrainingFigures.Time(entries), TrainingFigures.Speed(entries), ResultTables.Timing(entries)]),
            ("Runs", [RunTables.Runs(entries), RunTables.Differences(entries), RunTables.Environment(entries)]),
        ];
        return new Report(
            Title(sources), $"Made by imta report {SelfProcess.Version}. Charts drawn with Apache ECharts.",
            [
                .. entries.Select(entry => entry.Name),
            ],
            [.. sections.Select(section => new Section(section.Title, [.. section.Blocks.OfType<Block>()]))]);
    }

    private static string Title(ReportSources sources)
    {
        IEnumerable<string> runs = sources.Entries.Where(entry => sources.Sweeps.All(sweep => sweep.Folder != entry.Folder))
            .Select(entry => entry.Name);
        string[] names = [.. sources.Sweeps.Select(sweep => $"sweep {sweep.Name}"), .. runs];
        string title = names.Length <= 2 ? string.Join(" and ", names) : $"{names[0]} and {names.Length - 1} more";
        return char.ToUpperInvariant(title[0]) + title[1..];
    }
}
