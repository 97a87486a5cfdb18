using System.CommandLine;
using System.Globalization;
using Imta.MetaWeight.Experiments.Reports;
using Spectre.Console;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta report RUN|SWEEP…</c>: charts and tables of runs in a single HTML file.</summary>
internal static class ReportCommand
{
    private const int ReloadSeconds = 10;

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
    private static readonly Option<bool> Watch = new("--watch")
    {
        Description = "Rewrite the report whenever a run's tables change, until all runs have ended; an open page reloads itself",
    };

    public static Command Build()
    {
        var command = new Command("report", "Summarise runs and sweeps in one HTML file: charts of accuracy, training, exits, weights and "
            + "classes, and tables") { Folders, Out, Points, Svg, Watch, OutputFile.Force };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        string page = arguments.GetValue(Out)!;
        OutputFile.Check(page, arguments);
        if (arguments.GetValue(Watch))
        {
            return Follow(page, arguments);
        }

        ReportSources sources = ReportSources.Read(arguments.GetValue(Folders)!, new RunReader());
        if (sources.Entries.Count == 0)
        {
            throw new UsageException($"{sources.Sweeps[0].Folder} has no runs yet; continue it with imta sweep");
        }

        Report report = Build(sources, arguments);
        if (arguments.GetValue(Svg) is { } folder)
        {
            WriteCharts(report, folder, arguments);
        }

        Write(page, report);
        Console.WriteLine($"wrote the report to {page}");
        return 0;
    }

    private static Report Build(ReportSources sources, ParseResult arguments)
        => ReportBuilder.Build(
            sources, PointsFile.Read(arguments.GetValue(Points) ?? [], [.. sources.Entries.Select(entry => entry.Name)]));

    private static void Write(string page, Report report)
        => OutputFile.WrapErrors(page, () => AtomicFile.WriteText(page, ReportPage.Html(report)));

    /// <summary>Keeps the page up to date until no run is in progress or the user stops it.</summary>
    private static int Follow(string page, ParseResult arguments)
    {
        if (arguments.GetValue(Svg) is not null)
        {
            throw new UsageException("--svg cannot be combined with --watch; write the charts when the runs have ended");
        }

        using var stop = new StopSignal();
        string[] folders = arguments.GetValue(Folders)!;
        var reader = new RunReader();
        string state = "";
        if (Terminal.IsInteractive)
        {
            AnsiConsole.Status().Start("reading the runs", context => Watching(line => context.Status(Markup.Escape(line))));
        }
        else
        {
            Watching(Console.WriteLine);
        }

        Console.WriteLine($"wrote the report to {page}: {state}");
        return stop.Token.IsCancellationRequested ? StopSignal.ExitCode : 0;

        void Watching(Action<string> tell) => new ReportWatch(folders, goesOn =>
        {
            ReportSources sources = ReportSources.Read(folders, reader);
            Write(page, Build(sources, arguments) with { ReloadSeconds = goesOn ? ReloadSeconds : null });
            state = StateOf(sources);
            if (goesOn)
            {
                tell(string.Create(CultureInfo.InvariantCulture, $"{DateTime.Now:HH:mm:ss} {page}: {state}; Ctrl-C ends the watch"));
            }
        }).Run(stop.Token);
    }

    private static string StateOf(ReportSources sources)
    {
        ReportedRun[] runs = [.. sources.Entries.SelectMany(entry => entry.Runs)];
        int all = sources.Sweeps.Sum(sweep => sweep.Runs.Count)
            + sources.Entries.Count(entry => sources.Sweeps.All(sweep => sweep.Folder != entry.Folder));
        int epochs = runs.Sum(run => run.Epochs.Select(row => row.Epoch).DefaultIfEmpty().Max());
        return FormattableString.Invariant($"{runs.Count(run => run.Anytime.Count > 0)} of {all} runs finished, {epochs} epochs done");
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
