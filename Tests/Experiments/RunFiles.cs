using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Tests.Experiments;

/// <summary>What lies in the folder of a run.</summary>
internal static class RunFiles
{
    /// <summary>What a run's environment.json holds at least, by which its folder is known.</summary>
    public const string Environment = """{"version": "1", "dotnet": ".NET 10"}""";

    /// <summary>Every file, by its path in the folder.</summary>
    public static string[] Names(string run)
        => [.. Directory.EnumerateFiles(run, "*", SearchOption.AllDirectories).Select(path => Path.GetRelativePath(run, path))];

    /// <summary>The content of every CSV file but those that are not reproducible, in the order of their names.</summary>
    public static string[] Tables(string run) => [.. Names(run)
        .Where(name => name.EndsWith(".csv", StringComparison.Ordinal) && name is not ("timing.csv" or "latency.csv"))
        .Order(StringComparer.Ordinal)
        .Select(name => File.ReadAllText(Path.Combine(run, name)))];

    /// <summary>A run that is stopped after its first epoch and resumed ends with the tables of one that was not.</summary>
    /// <returns>What the latter wrote.</returns>
    public static string StoppedAndResumed(TemporaryFolder folder, string[] arguments)
    {
        string output = folder.Run(0, ["train", "--out", "whole", .. arguments]).Output;
        StopAfterAnEpoch(folder, "stopped", arguments);
        folder.Run(0, "train", "--resume", "stopped").Output.Should().Contain("resuming after epoch");
        Tables(folder.In("stopped")).Should().Equal(Tables(folder.In("whole")));
        return output;
    }

    /// <summary>Starts a run and stops it by Ctrl-C after its first epoch.</summary>
    /// <returns>How it ended.</returns>
    public static ImtaProcess.Result StopAfterAnEpoch(TemporaryFolder folder, string name, string[] arguments) => BreakOff(
        folder,
        name,
        () => ImtaProcess.Start(folder.Path, ["train", "--out", name, .. arguments]),
        process =>
        {
            process.WaitUntil(() => File.Exists(folder.In(name, "epochs.csv")));
            process.TryInterrupt();
        },
        result =>
        {
            result.Code.Should().BeOneOf([0, ImtaProcess.Interrupted], result.All);
            return result.Code != 0 && Latest(folder.In(name)) is { } state
                && state.Epochs < TrainingPhase.ForRun(state.Settings)[^1].LastEpoch;
        });

    /// <summary>
    /// Starts or resumes a run and breaks it off; if that comes too late, on a busy machine, starts again from the state before.
    /// </summary>
    /// <param name="folder">The folder of the run's folder.</param>
    /// <param name="name">The run's folder.</param>
    /// <param name="start">Starts the process.</param>
    /// <param name="end">Waits for the moment and breaks it off.</param>
    /// <param name="inTime">Whether it was broken off where it should be.</param>
    /// <returns>How it ended.</returns>
    public static ImtaProcess.Result BreakOff(
        TemporaryFolder folder, string name, Func<ImtaProcess> start, Action<ImtaProcess> end, Func<ImtaProcess.Result, bool> inTime)
    {
        (string run, string before) = (folder.In(name), folder.In($"{name} before"));
        CopyFolder(run, before);
        for (int attempt = 0; attempt < 5; attempt++)
        {
            using (ImtaProcess process = start())
            {
                end(process);
                ImtaProcess.Result result = process.End();
                if (inTime(result))
                {
                    DeleteFolder(before);
                    return result;
                }
            }

            CopyFolder(before, run);
        }

        throw new InvalidOperationException("none of five runs could be broken off in time");
    }

    /// <summary>The latest checkpoint's settings and epochs, and whether it is inside the next one.</summary>
    public static (Settings Settings, int Epochs, bool IsInside)? Latest(string run)
    {
        using DisposeScope scope = NewDisposeScope();
        string file = Path.Combine(run, "checkpoints", "latest.pt");
        return File.Exists(file) && Checkpoint.Read(file) is var latest
            ? (latest.Settings, latest.Epochs, latest.Progress is not null)
            : null;
    }

    private static void CopyFolder(string from, string to)
    {
        DeleteFolder(to);
        foreach (string name in Directory.Exists(from) ? Names(from) : [])
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(to, name))!);
            File.Copy(Path.Combine(from, name), Path.Combine(to, name));
        }
    }

    private static void DeleteFolder(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
