using System.Collections;
using System.CommandLine;
using System.Text;
using Imta.MetaWeight.Experiments.Checks;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Processes;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta train [CONFIG.yaml]</c>.</summary>
internal static class TrainCommand
{
    private const int UsualPatience = 300; // seconds

    private static readonly Option<string?> Data = new("--data") { HelpName = "DIR", Description = "Folder of the data set's files" };
    private static readonly Option<string?> Out = new("--out") { HelpName = "DIR", Description = "Folder of the run; by default runs/NAME-sSEED-START" };
    private static readonly Option<int?> Seed = new("--seed") { HelpName = "N", Description = "Seed of everything random" };
    private static readonly Option<string?> Place = new("--device") { HelpName = "cpu|cuda", Description = "Where to compute" };
    private static readonly Option<int?> Threads = new("--threads") { HelpName = "N", Description = "Threads of the CPU's computation; 0: all cores" };
    private static readonly Option<int?> Processes = new("--processes") { HelpName = "N", Description = "Train by N processes on this machine, each on its share of every batch (processes)" };
    private static readonly Option<int> ProcessTimeout = new("--process-timeout") { HelpName = "S", Description = "Seconds that a process waits for the others of its run before it gives up", DefaultValueFactory = _ => UsualPatience };
    private static readonly Option<double?> CheckpointMinutes = new("--checkpoint-minutes") { HelpName = "M", Description = "Minutes between two checkpoints inside an epoch (run.checkpointMinutes, 10)" };
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
        LaunchPlace? place = LaunchPlace.Of(Environment.GetEnvironmentVariable);
        return place is { Rank: > 0 } ? Follow(arguments, place, stop.Token)
            : arguments.GetValue(Resume) is { } run ? GoOn(arguments, run, allowed, place, stop.Token)
            : Start(arguments, allowed, place, stop.Token);
    }

    private static int Start(ParseResult arguments, IReadOnlySet<CheckName> allowed, LaunchPlace? place, CancellationToken stop)
    {
        DateTime start = DateTime.Now;
        Settings settings = Read(arguments, place);
        string path = arguments.GetValue(Out) ?? RunFolder.DefaultPath(settings, start);
        int here = place?.LocalSize ?? settings.Processes;
        Device device = Machine.Prepare(settings, place?.LocalRank ?? 0, here);
        MachineRoom room = MachineRoom.Of(path, device); // before anything of this process lies on a GPU
        RunFolder.Check(path, arguments.GetValue(Force));
        using RunData data = DataSets.Load(settings);
        IReadOnlyList<TrainingPhase> phases = TrainingPhase.Of(settings);
        using Replicas replicas = Replicas.Of(place, settings.Processes, Patience(arguments));
        using RunModel model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, replicas, PhaseOneSource.Load(settings, device, data.Fingerprint));
        var checks = new RunChecks(phases, data, model, model.Network.Cost(DatasetShape.Of(settings.Data).Side), here: here);
        Finding[] findings = [.. checks.BeforeStart(room)];
        if (Refused(findings, allowed))
        {
            return UsageException.ExitCode;
        }

        stop.ThrowIfCancellationRequested();
        Meet(replicas, settings, data);
        RunFolder folder = RunFolder.Create(path, arguments.GetValue(Force), SettingsWriter.Write(settings), out IDisposable held);
        using IDisposable until = held;
        AtomicFile.WriteText(folder.Environment, EnvironmentReport.Json(settings, Environment.GetCommandLineArgs()[1..], start, data.Fingerprint));
        Checkpoint.Write(folder.LatestCheckpoint, settings, phases[0], model, phases[0].EpochsBefore);
        ShareStart(replicas, folder, folder.LatestCheckpoint);
        return Train(new Plan(settings, phases, data, model, folder, device, replicas, checks.Needs, findings, Done: null, Progress: null), stop);
    }

    private static int GoOn(ParseResult arguments, string run, IReadOnlySet<CheckName> allowed, LaunchPlace? place, CancellationToken stop)
    {
        Option[] fixedByRun = [ConfigurationArguments.Set, Out, Seed, Place, Threads, Processes, CheckpointMinutes, BestBy, SkipNonFinite, Force];
        if (arguments.GetValue(ConfigurationArguments.Config) is not null || fixedByRun.Any(option => arguments.GetResult(option) is { Implicit: false }))
        {
            throw new UsageException("--resume goes on with the run as it was configured; only --data, --allow and --process-timeout may stand beside it");
        }

        using DisposeScope scope = NewDisposeScope();
        RunFolder folder = RunFolder.Open(run);
        using IDisposable held = folder.Hold();
        (string file, Checkpoint.Content checkpoint) = Checkpoint.Latest(folder, warning => Console.Error.WriteLine($"warning: {warning}"));
        Settings settings = checkpoint.Settings;
        if (!checkpoint.IsPresentFormat)
        {
            throw new UsageException($"{file} is of an earlier version of imta, which can go on with it; this one can evaluate it (imta eval) or take it as phase I (phase2.from)");
        }

        if (File.Exists(folder.Config) && File.ReadAllText(folder.Config) != SettingsWriter.Write(settings))
        {
            throw new UsageException($"{folder.Config} was changed since the run started, and a run is not changed half-way; undo that, or start another run: imta train {folder.Config} --out DIR");
        }

        if (place is not null && place.Size != settings.Processes)
        {
            throw new UsageException(FormattableString.Invariant($"{run} is trained by {settings.Processes} processes, and the launcher started {place.Size}; start {settings.Processes}, so that its numbers stay the same"));
        }

        int here = place?.LocalSize ?? settings.Processes;
        Device device = Machine.Prepare(settings, place?.LocalRank ?? 0, here);
        MachineRoom room = MachineRoom.Of(run, device);
        using RunData data = DataSets.Load(settings, arguments.GetValue(Data));
        if (data.Fingerprint is not null && EnvironmentReport.ImagesOf(folder.Environment) is null)
        {
            Console.Error.WriteLine($"warning: {folder.Environment} does not say with which files the run started; if they are others now, it goes on to other numbers");
        }

        if (folder.StartedWithOthers(data.Fingerprint))
        {
            throw new UsageException($"the data set's files are others than when {run} started (added, removed or renamed), so that training and validation pictures would change places; put them back, or name a folder that has them by --data");
        }

        using Replicas replicas = Replicas.Of(place, settings.Processes, Patience(arguments));
        IReadOnlyList<TrainingPhase> phases = PhasesFrom(checkpoint);
        using RunModel model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, replicas);
        checkpoint.Restore(model, file);
        checkpoint.ReleaseModel();
        var checks = new RunChecks(phases, data, model, model.Network.Cost(DatasetShape.Of(settings.Data).Side), checkpoint.Epochs, here);
        Finding[] findings = [.. checks.BeforeGoingOn(room)];
        if (Refused(findings, allowed))
        {
            return UsageException.ExitCode;
        }

        Meet(replicas, settings, data);
        ShareStart(replicas, folder, file);
        folder.KeepThrough(checkpoint.Epochs);
        if (checkpoint.Epochs < phases[^1].LastEpoch)
        {
            folder.RemoveTest();
        }

        return Train(new Plan(settings, phases, data, model, folder, device, replicas, checks.Needs, findings, checkpoint.Epochs, checkpoint.Progress), stop);
    }

    /// <summary>A process that another one speaks for: all it has to know but the place of the images comes from process 0, with the checkpoint that the run starts from.</summary>
    private static int Follow(ParseResult arguments, LaunchPlace place, CancellationToken stop)
    {
        using DisposeScope scope = NewDisposeScope();
        using Replicas replicas = Replicas.Of(place, place.Size, Patience(arguments));
        replicas.Meet();
        Settings settings = SettingsLoader.Parse(Encoding.UTF8.GetString(replicas.Share(null)), "the configuration of process 0");
        string images = Encoding.UTF8.GetString(replicas.Share(null));
        (Device device, RunData data, string? problem) = Prepared(settings, place, arguments.GetValue(Data), images);
        using RunData? held = data;
        if (replicas.Agree(stop: false, problem: problem).Problem is not null)
        {
            return UsageException.ExitCode; // process 0 says it
        }

        string path = Encoding.UTF8.GetString(replicas.Share(null));
        Checkpoint.Content checkpoint = Received(replicas.Share(null));
        IReadOnlyList<TrainingPhase> phases = PhasesFrom(checkpoint);
        using RunModel model = RunModel.Build(phases[0], data.Train.ClassCounts(), device, replicas);
        checkpoint.Restore(model, path);
        checkpoint.ReleaseModel();
        try
        {
            new TrainingRun(settings, data, RunFolder.Elsewhere(path), RunMonitor.Silent(), device, replicas).Run(phases, model, checkpoint.Epochs, checkpoint.Progress, stop);
            return 0;
        }
        catch (OperationCanceledException)
        {
            return Interruption.ExitCode; // process 0 says so
        }
        catch (LostProcessException e)
        {
            throw WithAdvice(e, path, Path.Combine(path, "checkpoints")); // process 0 may be the one that is lost
        }
    }

    /// <summary>What a process needs beside process 0's checkpoint, or what is wrong with it.</summary>
    private static (Device Device, RunData Data, string? Problem) Prepared(Settings settings, LaunchPlace place, string? folder, string images)
    {
        string who = FormattableString.Invariant($"process {place.Rank} of {place.Size}");
        try
        {
            Device device = Machine.Prepare(settings, place.LocalRank, place.LocalSize);
            RunData data = DataSets.Load(settings, folder);
            return (device, data, ImagesOf(data) == images ? null : $"{who} finds other files in the data set's folder than process 0; give all of them the same");
        }
        catch (Exception e) when (e is UsageException or IOException or UnauthorizedAccessException)
        {
            return (CPU, null!, $"{who}: {e.Message}");
        }
    }

    private static string ImagesOf(RunData data) => data.Fingerprint ?? "in memory";

    /// <summary>Meets the others, and learns whether all of them can train; nothing is written yet.</summary>
    /// <exception cref="UsageException">One of them cannot.</exception>
    private static void Meet(Replicas replicas, Settings settings, RunData data)
    {
        replicas.Meet();
        if (!replicas.AreSeveral)
        {
            return;
        }

        replicas.Share(Encoding.UTF8.GetBytes(SettingsWriter.Write(settings)));
        replicas.Share(Encoding.UTF8.GetBytes(ImagesOf(data)));
        if (replicas.Agree(stop: false).Problem is { } problem)
        {
            throw new UsageException(problem);
        }
    }

    private static LostProcessException WithAdvice(LostProcessException e, string run, string checkpoint)
        => new($"{e.Message}; what ended them they say themselves; {checkpoint} is whole: go on by imta train --resume {run}", e);

    private static void ShareStart(Replicas replicas, RunFolder folder, string checkpoint)
    {
        if (replicas.AreSeveral)
        {
            replicas.Share(Encoding.UTF8.GetBytes(folder.Path));
            replicas.Share(File.ReadAllBytes(checkpoint));
        }
    }

    private static Checkpoint.Content Received(byte[] bytes)
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(file, bytes);
            return Checkpoint.Read(file);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static IReadOnlyList<TrainingPhase> PhasesFrom(Checkpoint.Content checkpoint) => [.. TrainingPhase.Of(checkpoint.Settings).Where(phase => phase.Number >= checkpoint.Phase)];

    private static TimeSpan Patience(ParseResult arguments) => TimeSpan.FromSeconds(arguments.GetValue(ProcessTimeout));

    /// <summary>Whether a finding stops the run; then all of them are shown.</summary>
    private static bool Refused(Finding[] findings, IReadOnlySet<CheckName> allowed)
    {
        if (!findings.Any(Stops))
        {
            return false;
        }

        foreach (Finding finding in findings.OrderBy(Stops))
        {
            Console.Error.WriteLine(Stops(finding) ? $"imta: {finding.Line}; {finding.Override}" : $"imta: warning: {finding.Line}");
        }

        return true;

        bool Stops(Finding finding) => finding.Severity == Severity.Stop && !allowed.Contains(finding.Check);
    }

    private static int Train(Plan plan, CancellationToken stop)
    {
        RunMonitor monitor = RunMonitor.ForConsole();
        monitor.LogTo(plan.Folder.Log);
        foreach (string line in plan.Lines())
        {
            monitor.Say(line);
        }

        try
        {
            new TrainingRun(plan.Settings, plan.Data, plan.Folder, monitor, plan.Device, plan.Replicas).Run(plan.Phases, plan.Model, plan.Done ?? 0, plan.Progress, stop);
        }
        catch (OperationCanceledException)
        {
            monitor.Say($"stopped; go on: imta train --resume {plan.Folder.Path}");
            return Interruption.ExitCode;
        }
        catch (LostProcessException e)
        {
            throw WithAdvice(e, plan.Folder.Path, plan.Folder.LatestCheckpoint);
        }
        catch (IOException e)
        {
            // The log may be on the same full disk.
            throw new IOException($"{e.Message.TrimEnd('.')}; {plan.Folder.LatestCheckpoint} is whole: when that is mended, go on by imta train --resume {plan.Folder.Path}", e);
        }
        catch (Exception e)
        {
            monitor.Log($"the run failed: {e}");
            throw;
        }

        monitor.Say($"results are in {plan.Folder.Path}");
        return 0;
    }

    private static Settings Read(ParseResult arguments, LaunchPlace? place)
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

        if (place is not null && arguments.GetValue(Processes) is { } wanted && wanted != place.Size)
        {
            throw new UsageException(FormattableString.Invariant($"--processes {wanted} stands beside a launcher that started {place.Size} processes; leave it away there"));
        }

        Add("the launcher", "processes", place?.Size);
        return ConfigurationArguments.Read(arguments, overrides);

        void Add(string option, string key, object? value)
        {
            if (value is not null)
            {
                overrides.Add(new SettingsOverride(option, key, FormattableString.Invariant($"{value}")));
            }
        }
    }

    /// <summary>A run that is ready to train: its phases from one on, and the model of that one; of a run that goes on, the epochs that are done.</summary>
    private sealed record Plan(
        Settings Settings, IReadOnlyList<TrainingPhase> Phases, RunData Data, RunModel Model, RunFolder Folder, Device Device, Replicas Replicas, string Needs, IReadOnlyList<Finding> Findings, int? Done, Hashtable? Progress)
    {
        /// <summary>What is about to happen, for the log and the screen.</summary>
        public IEnumerable<string> Lines()
        {
            foreach (string warning in Data.Warnings.Concat(Findings.Select(finding => finding.Line)))
            {
                yield return $"warning: {warning}";
            }

            long parameters = Model.Network.parameters().Sum(parameter => parameter.numel());
            yield return FormattableString.Invariant($"{Settings.Name}, seed {Settings.Seed}: {Method()}, {Model.Network.GetName()} with {Model.Network.Exits} exits and {parameters:N0} parameters on {Device}, {(Replicas.AreSeveral ? FormattableString.Invariant($"{Settings.Processes} processes of ") : "")}{get_num_threads()} threads");
            string meta = Data.Meta is null ? "" : FormattableString.Invariant($" {Data.Meta.Count:N0} held-out meta,");
            yield return FormattableString.Invariant($"{Data.Train.Count:N0} training,{meta} {Data.Validation.Count:N0} validation and {Data.Test.Count:N0} test images of {Data.Classes} classes; run folder {Folder.Path}");
            if (Settings.Data.Imbalance.Type != ImbalanceProfile.None)
            {
                long[] counts = Data.Train.ClassCounts();
                yield return FormattableString.Invariant($"imbalanced classes: {counts.Max():N0} training images of the largest, {counts.Min():N0} of the smallest");
            }

            yield return Needs;
            if (Done is not null)
            {
                string inside = Progress is null ? "" : FormattableString.Invariant($", batch {Progress["batch"]}");
                yield return FormattableString.Invariant($"going on behind epoch {Done} of {Phases[^1].LastEpoch}{inside}");
            }
        }

        /// <summary>What makes this run another than plain training.</summary>
        private string Method()
        {
            string[] parts =
            [
                !Settings.Meta.Enabled ? "plain training" : Settings.Meta.Weights switch
                {
                    WeightRule.Fixed => "fixed sample weights",
                    WeightRule.Allocated => "allocated training samples",
                    _ => Settings.Meta.Wpn.Output == WpnOutput.Sigmoid ? "learned sample weights (Meta-Weight-Net)" : "learned sample weights",
                },
                .. Settings.Modifiers.Ge.Enabled ? ["GE"] : Array.Empty<string>(),
                .. Settings.Modifiers.Isc.Enabled ? ["ISC"] : Array.Empty<string>(),
                .. Settings.Loss.Ofa.Enabled ? ["OFA"] : Array.Empty<string>(),
            ];
            string phases = Settings.Phase2.Epochs == 0 ? "" : Settings.Phase2.From is { } source ? $", phase II of {source}" : ", two phases";
            return string.Join(" + ", parts) + phases;
        }
    }
}
