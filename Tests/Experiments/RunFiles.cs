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

    /// <summary>Starts a run and stops it after an epoch; one that ends before the signal, on a busy machine, is made again.</summary>
    public static void StopAfterAnEpoch(TemporaryFolder folder, string name, string[] arguments)
        => Enumerable.Range(0, 5).Any(_ => Stopped(folder, name, arguments)).Should().BeTrue("one of five is stopped before it ends");

    private static bool Stopped(TemporaryFolder folder, string name, string[] arguments)
    {
        string run = folder.In(name);
        if (Directory.Exists(run))
        {
            Directory.Delete(run, recursive: true);
        }

        using ImtaProcess process = ImtaProcess.Start(folder.Path, ["train", "--out", name, .. arguments]);
        process.WaitUntil(() => File.Exists(Path.Combine(run, "epochs.csv")));
        bool signalled = process.TryTerminate();
        ImtaProcess.Result result = process.End();
        result.Code.Should().Be(signalled && result.Code != 0 ? 143 : 0, result.All);
        return result.Code == 143;
    }
}
