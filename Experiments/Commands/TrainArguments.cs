using System.CommandLine;
using System.CommandLine.Parsing;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Checks;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>The options of <c>imta train</c>, and the settings that they make.</summary>
internal static class TrainArguments
{
    private const int DefaultPatience = 300; // seconds

    public static readonly Option<string?> Data = new("--data") { HelpName = "DIR", Description = "Folder of the data set's files" };
    public static readonly Option<string?> Out = new("--out")
    {
        HelpName = "DIR",
        Description = "Folder of the run; by default runs/NAME-sSEED-START",
    };

    public static readonly Option<int> ProcessTimeout = NumberOption.Whole(
        "--process-timeout", "S", "Seconds that a rank waits for the others of its run before it gives up", DefaultPatience);

    public static readonly Option<bool> Force = new("--force") { Description = "Replace the run that the folder holds" };
    public static readonly Option<string?> Resume = new("--resume")
    {
        HelpName = "RUN",
        Description = "Go on with the run in this folder, after its latest checkpoint",
    };

    public static readonly Option<string[]> Allow = new("--allow")
    {
        HelpName = "CHECK",
        Description = $"Run in spite of what a check finds: {string.Join(", ", CheckNames.All)}; may be repeated",
    };

    public static readonly Option<int?> Processes = NumberOption.Whole(
        "--processes", "N", "Train by N ranks on this machine, started by MPI, each on its share of every batch (processes)");

    /// <summary>Options that set a key of the configuration.</summary>
    public static readonly (Option Option, string Key)[] Keys =
    [
        (NumberOption.Whole("--seed", "N", "Seed of everything random"), "seed"),
        (new Option<string?>("--device") { HelpName = "cpu|cuda", Description = "Where to compute" }, "device"),
        (NumberOption.Whole("--threads", "N", "Threads of the CPU's computation; 0: all cores"), "threads"),
        (Processes, "processes"),
        (NumberOption.Decimal("--checkpoint-minutes", "M", "Minutes between two checkpoints inside an epoch (run.checkpointMinutes, 10)"), "run.checkpointMinutes"),
        (new Option<string?>("--best-by")
        {
            HelpName = "WHAT", Description = "What chooses checkpoints/best.pt (run.bestBy): lastAccuracy, meanAccuracy, lastLoss, meanLoss",
        }, "run.bestBy"),
        (new Option<bool>("--skip-nonfinite")
        {
            Description = "Skip and count batches with a loss or gradient that is NaN or infinite (run.skipNonFinite)",
        }, "run.skipNonFinite"),
    ];

    /// <summary>The settings of a run that is resumed.</summary>
    public static Settings SettingsOf(ParseResult arguments, string run)
    {
        RefuseChanges(arguments);
        RunFolder folder = RunFolder.Open(run);
        return File.Exists(folder.Config) ? SettingsLoader.Load(folder.Config) : Checkpoint.Latest(folder, _ => { }).Content.Settings;
    }

    /// <exception cref="UsageException">The command line would change a run that is resumed.</exception>
    public static void RefuseChanges(ParseResult arguments)
    {
        Option[] fixedByRun = [ConfigurationArguments.Set, Out, Force, .. Keys.Select(key => key.Option)];
        if (arguments.GetValue(ConfigurationArguments.Config) is not null || fixedByRun.Any(option => Given(arguments, option) is not null))
        {
            throw new UsageException(
                "--resume goes on with the run as it was configured; only --data, --allow and --process-timeout may stand beside it");
        }
    }

    private static OptionResult? Given(ParseResult arguments, Option option) => arguments.GetResult(option) is { Implicit: false } given ? given : null;

    /// <summary>The settings of a run that starts.</summary>
    /// <param name="arguments">The command line.</param>
    /// <param name="launched">Ranks that a launcher started; null: none did.</param>
    public static Settings Read(ParseResult arguments, int? launched)
    {
        var overrides = new List<SettingsOverride>();
        foreach ((Option option, string key) in Keys)
        {
            if (Given(arguments, option)?.GetValueOrDefault<object>() is { } value)
            {
                overrides.Add(new SettingsOverride(option.Name, key, value is true ? "true" : FormattableString.Invariant($"{value}")));
            }
        }

        if (arguments.GetValue(Data) is { } data)
        {
            DataSets.DemandFolder(data);
            overrides.Add(new SettingsOverride("--data", "data.root", Path.GetFullPath(data), IsText: true));
        }

        if (launched is { } size)
        {
            if (arguments.GetValue(Processes) is { } asked && asked != size)
            {
                throw new UsageException(
                    FormattableString.Invariant($"--processes {asked} contradicts the launcher, which started {size} ranks; omit it there"));
            }

            overrides.Add(new SettingsOverride("the launcher", "processes", FormattableString.Invariant($"{size}")));
        }

        return ConfigurationArguments.Read(arguments, overrides);
    }
}
