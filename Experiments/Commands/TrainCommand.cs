using System.CommandLine;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta train [CONFIG.yaml]</c>.</summary>
internal static class TrainCommand
{
    private const int UsualPatience = 300; // seconds

    private static readonly Option<string?> Data = new("--data") { HelpName = "DIR", Description = "Folder of the data set's files" };
    private static readonly Option<string?> Out = new("--out") { HelpName = "DIR", Description = "Folder of the run; by default runs/NAME-sSEED-START" };
    private static readonly Option<int?> Seed = NumberOption.Whole("--seed", "N", "Seed of everything random");
    private static readonly Option<string?> Place = new("--device") { HelpName = "cpu|cuda", Description = "Where to compute" };
    private static readonly Option<int?> Threads = NumberOption.Whole("--threads", "N", "Threads of the CPU's computation; 0: all cores");
    private static readonly Option<int?> Processes = NumberOption.Whole("--processes", "N", "Train by N ranks on this machine, started by MPI, each on its share of every batch (processes)");
    private static readonly Option<int> ProcessTimeout = NumberOption.Whole("--process-timeout", "S", "Seconds that a rank waits for the others of its run before it gives up", UsualPatience);
    private static readonly Option<double?> CheckpointMinutes = NumberOption.Decimal("--checkpoint-minutes", "M", "Minutes between two checkpoints inside an epoch (run.checkpointMinutes, 10)");
    private static readonly Option<string?> BestBy = new("--best-by") { HelpName = "WHAT", Description = "What chooses checkpoints/best.pt (run.bestBy): lastAccuracy, meanAccuracy, lastLoss, meanLoss" };
    private static readonly Option<bool> SkipNonFinite = new("--skip-nonfinite") { Description = "Skip and count batches with a loss or gradient that is no finite number (run.skipNonFinite)" };
    private static readonly Option<bool> Force = new("--force") { Description = "Replace the run that the folder holds" };
    private static readonly Option<string?> Resume = new("--resume") { HelpName = "RUN", Description = "Go on with the run in this folder, behind its latest checkpoint" };
    private static readonly Option<string[]> Allow = new("--allow") { HelpName = "CHECK", Description = $"Run in spite of what a check finds: {string.Join(", ", CheckNames.All)}; may be repeated" };

    public static Command Build()
    {
        var command = new Command("train", "Train a multi-exit network, with learned sample weights or without, and test it")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, Data, Out, Seed, Place, Threads, Processes, ProcessTimeout, CheckpointMinutes, BestBy, SkipNonFinite, Force, Resume, Allow,
        };
        command.Validators.Add(ConfigurationArguments.RefuseUnknownOption);
        ProcessTimeout.Validators.Add(result =>
        {
            if (result.GetValue(ProcessTimeout) < 1)
            {
                result.AddError("--process-timeout takes 1 second or more.");
            }
        });
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        using var stop = new Interruption();
        IReadOnlySet<CheckName> allowed = CheckNames.Parse(arguments.GetValue(Allow) ?? []);
        LaunchPlace? place = LaunchPlace.OfThisProcess();
        if (place is null && Wanted(arguments, out string run) is > 1 and var processes)
        {
            return StartRanks(arguments, processes, run, stop);
        }

        return Ranks.Run(place, TimeSpan.FromSeconds(arguments.GetValue(ProcessTimeout)), Train, stop.Token);

        int Train(RankStart ranks)
        {
            var start = new RunStart(ranks, allowed, arguments.GetValue(Data), stop.Token);
            return arguments.GetValue(Resume) is { } resumed
                ? start.GoOn(resumed, () => RefuseChanges(arguments))
                : start.Begin(() => Read(arguments, place?.Size), arguments.GetValue(Out), arguments.GetValue(Force), IsElsewhere(arguments, ranks.Replicas));
        }
    }

    /// <summary>How many processes the run takes, and its folder.</summary>
    private static int Wanted(ParseResult arguments, out string run)
    {
        if (arguments.GetValue(Resume) is { } resumed)
        {
            RefuseChanges(arguments);
            RunFolder folder = RunFolder.Open(run = resumed);
            return File.Exists(folder.Config)
                ? SettingsLoader.Load(folder.Config).Processes
                : Checkpoint.Latest(folder, _ => { }).Content.Settings.Processes;
        }

        Settings settings = Read(arguments, null);
        run = arguments.GetValue(Out) ?? RunFolder.DefaultPath(settings, DateTime.Now);
        return settings.Processes;
    }

    /// <summary>Trains by ranks of this machine, each of which runs this command again.</summary>
    private static int StartRanks(ParseResult arguments, int processes, string run, Interruption stop)
    {
        string[] named = arguments.GetValue(Resume) is null && arguments.GetValue(Out) is null ? ["--out", run] : [];
        int code = LocalRanks.Run(processes, [.. Environment.GetCommandLineArgs()[1..], .. named], stop);
        if (code is not (0 or 1 or UsageException.ExitCode or Interruption.ExitCode))
        {
            string advice = RunFolder.CanGoOn(run) ? $"go on by imta train --resume {run}" : "nothing is written yet";
            Failure.OnConsole(FormattableString.Invariant($"a rank was ended by a signal, or without a word (exit code {code} of mpirun); {advice}"));
            return 1;
        }

        return code;
    }

    private static void RefuseChanges(ParseResult arguments)
    {
        Option[] fixedByRun = [ConfigurationArguments.Set, Out, Seed, Place, Threads, Processes, CheckpointMinutes, BestBy, SkipNonFinite, Force];
        if (arguments.GetValue(ConfigurationArguments.Config) is not null || fixedByRun.Any(option => arguments.GetResult(option) is { Implicit: false }))
        {
            throw new UsageException("--resume goes on with the run as it was configured; only --data, --allow and --process-timeout may stand beside it");
        }
    }

    /// <summary>Whether this is a rank of a machine without the configuration's file: it takes rank 0's.</summary>
    private static bool IsElsewhere(ParseResult arguments, Replicas replicas)
        => !replicas.IsFirst && arguments.GetValue(ConfigurationArguments.Config) is { } file && !File.Exists(file);

    private static Settings Read(ParseResult arguments, int? launched)
    {
        var overrides = new List<SettingsOverride>();
        Add("--seed", "seed", arguments.GetValue(Seed));
        Add("--device", "device", arguments.GetValue(Place));
        Add("--threads", "threads", arguments.GetValue(Threads));
        Add("--processes", "processes", arguments.GetValue(Processes));
        Add("--checkpoint-minutes", "run.checkpointMinutes", arguments.GetValue(CheckpointMinutes));
        Add("--best-by", "run.bestBy", arguments.GetValue(BestBy));
        Add("--skip-nonfinite", "run.skipNonFinite", arguments.GetValue(SkipNonFinite) ? "true" : null);
        if (arguments.GetValue(Data) is { } data)
        {
            DataSets.DemandFolder(data);
            overrides.Add(new SettingsOverride("--data", "data.root", Path.GetFullPath(data), IsText: true));
        }

        if (launched is not null && arguments.GetValue(Processes) is { } wanted && wanted != launched)
        {
            throw new UsageException(
                FormattableString.Invariant($"--processes {wanted} contradicts the launcher, which started {launched} ranks; omit it there"));
        }

        Add("the launcher", "processes", launched);
        return ConfigurationArguments.Read(arguments, overrides);

        void Add(string option, string key, object? value)
        {
            if (value is not null)
            {
                overrides.Add(new SettingsOverride(option, key, FormattableString.Invariant($"{value}")));
            }
        }
    }
}
