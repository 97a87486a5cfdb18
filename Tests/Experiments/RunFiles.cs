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
}
