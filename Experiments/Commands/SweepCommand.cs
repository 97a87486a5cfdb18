using System.CommandLine;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Sweeps;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Checks;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta sweep SWEEP.yaml</c>: runs many configurations, with statistics over seeds.</summary>
internal static class SweepCommand
{
    private const int MaxJobs = 1024;
    private const int IncompleteExitCode = 1;

    private static readonly Argument<string> Plan = new("SWEEP.yaml")
    {
        Description = "What to run: a configuration, seeds, variants or a "
        + "grid of settings (docs/sweeps.md)"
    };
    private static readonly Option<string?> Data = new("--data") { HelpName = "DIR", Description = "Folder of the data set's files" };
    private static readonly Option<string?> Out = new("--out")
    {
        HelpName = "DIR",
        Description = "Folder of the sweep; default: "
        + "sweeps/NAME, where NAME is the file's name. An existing sweep is continued"
    };
    private static readonly Option<int?> Jobs = NumberOption.Integer("--jobs", "N", "Parallel runs, each with its share of the cores and "
        + "CUDA devices; default: 1, or with device cuda as many as there are devices for");

    private static readonly Option<string[]> Set = new("--set")
    {
        HelpName = "key=value",
        Description = "Override one setting of all runs, after the file's set and before its variants; may be repeated",
    };
    private static readonly Option<string?> Seeds = new("--seeds")
    {
        HelpName = "0,1,2",
        Description = "Seeds to run, instead of the file's; runs of other seeds stay in the tables",
    };
    private static readonly Option<string[]> Variant = new("--variant")
    {
        HelpName = "NAME",
        Description = "Variant to run (of a grid: one point, or a variant's name for all its points); may be repeated. Runs of other "
            + "variants stay in the tables. Default: all",
    };

    public static Command Build()
    {
        var command = new Command(
            "sweep", "Train every variant of a configuration with every seed and compare them")
        {
            Plan, Data, Out, Set, Seeds, Variant, Jobs, TrainArguments.Allow,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int? jobs = TrainedNetworkArguments.Integer(arguments, Jobs, MaxJobs);
        string[] allowed = [.. CheckNames.Parse(arguments.GetValue(TrainArguments.Allow) ?? []).Select(CheckNames.Text)];
        string file = arguments.GetValue(Plan)!;
        using var stop = new StopSignal();
        string path = arguments.GetValue(Out) ?? Path.Combine("sweeps", Path.GetFileNameWithoutExtension(file));
        var folder = new SweepFolder(path);
        SettingsOverride[] overrides = [.. (arguments.GetValue(Set) ?? []).Select(SettingsOverride.Parse)];
        SweepPlan plan = SweepPlan.Load(
            file, arguments.GetValue(Data), overrides, arguments.GetValue(Seeds), arguments.GetValue(Variant),
            folder.States().Keys.Select(run => run.Seed).Distinct());
        folder.Check(plan);
        IDisposable? held = null;
        OutputFile.WrapErrors(path, () => held = folder.TryLock(plan));
        using IDisposable until = held
            ?? throw new UsageException($"another imta sweep is running in {path}; wait for it, or choose another folder with --out");
        RunMonitor monitor = RunMonitor.ForConsole();
        var runner = new SweepRunner(plan, folder, monitor, jobs, allowed);
        try
        {
            runner.Run(stop.Token);
        }
        catch (OperationCanceledException)
        {
            monitor.WriteLine($"stopped; run the same command to continue in {path}");
            return StopSignal.ExitCode;
        }

        monitor.WriteLine($"wrote the tables to {path}");
        if (runner.Unfinished is not [var first, ..])
        {
            return 0;
        }

        string what = first.Message is { } message ? $"failed, the first with: {message}" : "were stopped";
        Console.Error.WriteLine(
            $"imta: {runner.Unfinished.Count} of {plan.Runs.Count} runs {what}; see {folder.Runs}; the same command retries them");
        return IncompleteExitCode;
    }
}
