using System.CommandLine;
using Imta.MetaWeight.Experiments.Reports;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta report RUN|SWEEP…</c>: charts and tables of runs in a single HTML file.</summary>
internal static class ReportCommand
{
    private static readonly Argument<string[]> Folders = new("RUN|SWEEP")
    {
        Arity = ArgumentArity.OneOrMore,
        Description = "Run and sweep "
        + "folders; a sweep's runs are averaged by variant"
    };
    private static readonly Option<string> Out
        = new("--out") { HelpName = "FILE.html", Description = "The report", DefaultValueFactory = _ => "report.html" };
    private static readonly Option<string[]> Points = new("--points")
    {
        HelpName = "FILE.csv",
        Description = "External results to plot with the budget curves: columns name, macs, accuracy (a fraction), and optionally "
            + "parameters; may be repeated",
    };
    private static readonly Option<string?> Svg
        = new("--svg") { HelpName = "DIR", Description = "Also write every chart there as an SVG file" };

    public static Command Build()
    {
        var command = new Command("report", "Summarise runs and sweeps in one HTML file: charts of accuracy, training, exits, weights and "
            + "classes, and tables") { Folders, Out, Points, Svg, OutputFile.Force };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        string page = arguments.GetValue(Out)!;
        OutputFile.Check(page, arguments);
        ReportSources sources = ReportSources.Read(arguments.GetValue(Folders)!);
        IReadOnlyList<Series> points = PointsFile.Read(arguments.GetValue(Points) ?? [], [.. sources.Entries.Select(entry => entry.Name)]);
        Report report = ReportBuilder.Build(sources, points);
        if (arguments.GetValue(Svg) is { } folder)
        {
            WriteCharts(report, folder, arguments);
        }

        OutputFile.WrapErrors(page, () => AtomicFile.WriteText(page, ReportPage.Html(report)));
        Console.WriteLine($"wrote the report to {page}");
        return 0;
    }

    private static void WriteCharts(Report report, string folder, ParseResult arguments)
    {
        const string Other = "folder with --svg";
        OutputFile.WrapErrors(folder, () =>
        {
            if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any() && !arguments.GetValue(OutputFile.Force))
            {
                throw new UsageException($"{folder} is not empty; choose another folder with --svg, or write into it with --force");
            }

            Directory.CreateDirectory(folder);
        }, Other);
        int count = 0;
        using var charts = new ChartFiles();
        foreach ((string name, string svg) in charts.Draw(report))
        {
            string file = Path.Combine(folder, name);
            OutputFile.WrapErrors(file, () => AtomicFile.WriteText(file, svg), Other);
            count++;
        }

        Console.WriteLine($"{count} charts written to {folder}");
    }
}
