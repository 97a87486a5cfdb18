using System.CommandLine;
using System.CommandLine.Parsing;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Checks;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>The options of <c>imta train</c>, and the settings they produce.</summary>
internal static class TrainArguments
{
    private const int DefaultTimeoutSeconds = 300; // seconds
    private const int MaxEpochs = 1_000_000; // the limit of train.epochs

    public static readonly Option<string?> Data = new("--data") { HelpName = "DIR", Description = "Folder of the data set's files" };
    public static readonly Option<string?> Out = new("--out")
    {
        HelpName = "DIR",
        Description = "Folder of the run; by default runs/NAME-sSEED-START",
    };

    public static readonly Option<int> ProcessTimeout = NumberOption.Integer(
        "--process-timeout", "S", "Seconds that a rank waits for the other ranks before it gives up", DefaultTimeoutSeconds);

    public static readonly Option<bool> Force = new("--force") { Description = "Overwrite an existing run in the folder" };
    public static readonly Option<string?> Resume = new("--resume")
    {
        HelpName = "RUN",
        Description = "Resume the run in this folder from its latest checkpoint",
    };

    public static readonly Option<string?> Extend = new("--extend")
    {
        HelpName = "RUN",
        Description = "Train the finished run in this folder for more epochs (--add-epochs), in a new folder",
    };

    public static readonly Option<int?> AddEpochs = NumberOption.Integer("--add-epochs", "N", "More epochs, with --extend");

    public static readonly Option<string[]> Allow = new("--allow")
    {
        HelpName = "CHECK",
        Description = $"Run despite a failed check: {string.Join(", ", CheckNames.All)}; may be repeated",
    };

    public static readonly Option<int?> Processes = NumberOption.Integer(
        "--processes", "N", "Train with N ranks on this machine, launched via MPI, each on its shard of every batch (processes)");

    /// <summary>Options that set a key of the configuration.</summary>
    public static readonly (Option Option, string Key)[] Keys =
    [
        (NumberOption.Integer("--seed", "N", "Random seed"), "seed"),
        (new Option<string?>("--device") { HelpName = "cpu|cuda", Description = "Device to compute on" }, "device"),
        (NumberOption.Integer("--threads", "N", "CPU threads; 0: all cores"), "threads"),
        (Processes, "processes"),
        (NumberOption.Double("--checkpoint-minutes", "M", "Minutes between checkpoints within an epoch (run.checkpointMinutes, "
            + "10)"), "run.checkpointMinutes"),
        (new Option<string?>("--best-by")
        {
            HelpName = "WHAT", Description = "Metric that selects checkpoints/best.pt (run.bestBy): lastAccuracy, meanAccuracy, lastLoss, "
                + "meanLoss",
        }, "run.bestBy"),
        (new Option<bool>("--skip-nonfinite")
        {
            Description = "Skip and count batches with a NaN or infinite loss or gradient (run.skipNonFinite)",
        }, "run.skipNonFinite"),
    ];

    /// <summary>The settings of a resumed run.</summary>
    public static Settings SettingsOf(string run)
    {
        RunFolder folder = RunFolder.Open(run);
        return File.Exists(folder.Config) ? SettingsLoader.Load(folder.Config) : Checkpoint.Latest(folder, _ => { }).Content.Settings;
    }

    /// <exception cref="UsageException">The command line would change the run that is resumed or extended.</exception>
    public static void RejectChanges(ParseResult arguments)
    {
        bool resumes = arguments.GetValue(Resume) is not null;
        Option[] ofOther = resumes ? [Out, Force, Extend, AddEpochs] : [Resume];
        Option[] fixedByRun = [ConfigurationArguments.Set, .. Keys.Select(key => key.Option), .. ofOther];
        if (arguments.GetValue(ConfigurationArguments.Config) is not null || fixedByRun.Any(option => Given(arguments, option) is not null))
        {
            throw new UsageException(resumes
                ? "--resume continues the run as configured; it can only be combined with --data, --allow and --process-timeout"
                : "--extend continues the run as configured; it can only be combined with --add-epochs, --out, --force, --data, --allow "
                    + "and --process-timeout");
        }
    }

    /// <summary>The run to extend, and by how many epochs; null: none.</summary>
    /// <exception cref="UsageException">One is given without the other, or the number is out of range.</exception>
    public static (string Run, int Epochs)? ReadExtension(ParseResult arguments)
    {
        string? run = arguments.GetValue(Extend);
        int? epochs = TrainedNetworkArguments.Integer(arguments, AddEpochs, MaxEpochs);
        return (run, epochs) switch
        {
            (null, null) => null,
            ({ } extended, { } more) => (extended, more),
            (null, _) => throw new UsageException("--add-epochs needs --extend RUN; the epochs of a new run are train.epochs"),
            _ => throw new UsageException("--extend needs --add-epochs N, the number of additional epochs"),
        };
    }

    private static OptionResult? Given(ParseResult arguments, Option option)
        => arguments.GetResult(option) is { Implicit: false } given ? given : null;

    /// <summary>The settings of a new run.</summary>
    /// <param name="arguments">The command line.</param>
    /// <param name="launched">The number of ranks started by a launcher; null without one.</param>
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
            overrides.Add(new SettingsOverride("--data", "data.root", Path.GetFullPath(data), IsText: true));
        }

        if (launched is { } size)
        {
            if (arguments.GetValue(Processes) is { } asked && asked != size)
            {
                throw new UsageException(
                    FormattableString.Invariant($"--processes {asked} conflicts with the launcher, which started {size} ranks; omit it"));
            }

            overrides.Add(new SettingsOverride("the launcher", "processes", FormattableString.Invariant($"{size}")));
        }

        return ConfigurationArguments.Read(arguments, overrides);
    }
}
