using System.CommandLine;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Experiments.Training.Distributed;
using static Imta.MetaWeight.Experiments.Commands.TrainArguments;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta train [CONFIG.yaml]</c>.</summary>
internal static class TrainCommand
{
    /// <param name="columns">The columns of <c>epochs.csv</c>.</param>
    public static Command Build(IReadOnlyList<EpochColumn> columns)
    {
        var command = new Command("train", "Train a multi-exit network, with or without learned sample weights, and test it");
        Option[] options =
        [
            ConfigurationArguments.Set, TrainArguments.Data, Out, .. Keys.Select(key => key.Option), ProcessTimeout, Force, Resume,
            Extend, AddEpochs, Allow,
        ];
        command.Arguments.Add(ConfigurationArguments.Config);
        Array.ForEach(options, command.Options.Add);
        ProcessTimeout.Validators.Add(result =>
        {
            if (result.GetValue(ProcessTimeout) < 1)
            {
                result.AddError("--process-timeout must be at least 1 second.");
            }
        });
        command.SetAction(arguments => Run(arguments, columns));
        return command;
    }

    private static int Run(ParseResult arguments, IReadOnlyList<EpochColumn> columns)
    {
        using var stop = new StopSignal();
        IReadOnlySet<CheckName> allowed = CheckNames.Parse(arguments.GetValue(Allow) ?? []);
        string? resumed = arguments.GetValue(Resume), folder = arguments.GetValue(Out);
        (string Run, int Epochs)? extension = resumed is null ? ReadExtension(arguments) : null;
        RankAssignment? assignment = RankAssignment.Current();
        if (assignment is null && OwnSettings() is { Processes: > 1 } settings)
        {
            string path = resumed ?? folder ?? RunFolder.DefaultPath(settings, DateTime.Now);
            string[] named = resumed is null && folder is null ? ["--out", path] : [];
            return LocalLauncher.Train(settings.Processes, [.. Environment.GetCommandLineArgs()[1..], .. named], path, stop);
        }

        return RankRunner.Run(assignment, TimeSpan.FromSeconds(arguments.GetValue(ProcessTimeout)), Train, stop.Token);

        Settings OwnSettings()
        {
            if (resumed is null && extension is null)
            {
                return Read(arguments, null);
            }

            RejectChanges(arguments);
            return resumed is { } run ? SettingsOf(run) : SettingsLoader.Load(ExtendedRun.Find(extension!.Value.Run).Config);
        }

        int Train(RankContext ranks)
        {
            // A rank on a machine without the configuration file uses the settings of rank 0.
            bool isElsewhere = !ranks.ProcessGroup.IsRankZero && arguments.GetValue(ConfigurationArguments.Config) is { } file
                && !File.Exists(file);
            var starter = new RunStarter(ranks, allowed, arguments.GetValue(TrainArguments.Data), stop.Token) { Columns = columns };
            return starter.Run((resumed, extension) switch
            {
                ({ } run, _) => new ResumedRun(run, () => RejectChanges(arguments)),
                (_, { } longer) => new ExtendedRun(
                    longer.Run, longer.Epochs, folder, arguments.GetValue(Force), () => RejectChanges(arguments)),
                _ => new NewRun(isElsewhere ? null : () => Read(arguments, assignment?.Size), folder, arguments.GetValue(Force)),
            });
        }
    }
}
