using System.CommandLine;
using Imta.MetaWeight.Experiments.Reports;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta report RUN|SWEEP…</c>: charts and tables of runs in one file of HTML.</summary>
internal static class ReportCommand
{
    private static readonly Argument<string[]> Folders = new("RUN|SWEEP") { Arity = ArgumentArity.OneOrMore, Description = "Folders of runs and of sweeps; a sweep's runs are averaged by variant" };
    private static readonly Option<string> Out = new("--out") { HelpName = "FILE.html", Description = "The report", DefaultValueFactory = _ => "report.html" };
    private static readonly Option<string[]> Points = new("--points")
    {
        HelpName = "FILE.csv",
        Description = "Numbers from elsewhere to draw beside budgets: columns name, macs, accuracy (of 1), and parameters if known; may be repeated",
    };
    private static readonly Option<string?> Svg = new("--svg") { HelpName = "DIR", Description = "Write every chart there too, as an SVG file" };
    private static readonly Option<bool> Force = new("--force") { Description = "Replace files that are there" };

    public static Command Build()
    {
        var command = new Command("report", "Show runs and sweeps in one HTML file: charts of accuracy, training, exits, weights, classes, and tables") { Folders, Out, Points, Svg, Force };
        command.Validators.Add(result =>
        {
            if (result.GetValue(Folders)?.FirstOrDefault(name => name.StartsWith('-')) is { } option)
            {
                result.AddError($"There is no option {option}.");
            }
        });
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        string page = arguments.GetValue(Out)!;
        bool force = arguments.GetValue(Force);
        OutputFile.Check(page);
        if (File.Exists(page) && !force)
        {
            throw new UsageException($"{page} is there already; give another place with --out, or replace it with --force");
        }

        ReportSources sources = ReportSources.Read(arguments.GetValue(Folders)!);
        IReadOnlyList<Series> points = PointsFile.Read(arguments.GetValue(Points) ?? [], [.. sources.Entries.Select(entry => entry.Name)]);
        Report report = ReportBuilder.Build(sources, points);
        if (arguments.GetValue(Svg) is { } folder)
        {
            WriteCharts(report, folder, force);
        }

        OutputFile.Guarded(page, () => AtomicFile.WriteText(page, ReportPage.Html(report)));
        Console.WriteLine($"the report is {page}");
        return 0;
    }

    private static void WriteCharts(Report report, string folder, bool force)
    {
        const string Other = "folder with --svg";
        OutputFile.Guarded(folder, () =>
        {
            if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any() && !force)
            {
                throw new UsageException($"{folder} is not empty; give another folder with --svg, or write into it with --force");
            }

            Directory.CreateDirectory(folder);
        }, Other);
        int count = 0;
        using var charts = new ChartFiles();
        foreach ((string name, string svg) in charts.Draw(report))
        {
            string file = Path.Combine(folder, name);
            OutputFile.Guarded(file, () => AtomicFile.WriteText(file, svg), Other);
            count++;
        }

        Console.WriteLine($"{count} charts are in {folder}");
    }
}
