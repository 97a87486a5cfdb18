using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using CsvHelper;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>A run, as described by the tables in its folder.</summary>
internal sealed partial class ReportedRun
{
    private readonly RunFolder _folder;
    private readonly Dictionary<string, object> _tables = [];

    /// <param name="folder">The run's folder.</param>
    /// <exception cref="UsageException">Its configuration cannot be read.</exception>
    public ReportedRun(RunFolder folder)
    {
        _folder = folder;
        Config = YamlReader.ReadKeys(SettingsLoader.ReadText(folder.Config), folder.Config)
            .Where(entry => entry.Value is not YamlGroup)
            .ToDictionary(entry => entry.Key, entry => TextOf(entry.Value));
        Environment = ReadEnvironment(folder.Environment);
    }

    /// <summary>The folder as given by the user.</summary>
    public string Folder => _folder.Path;

    /// <summary>Every setting by its key, in the file's order.</summary>
    public IReadOnlyDictionary<string, string> Config { get; }

    /// <summary>The environment it ran in, in file order; empty if the file is missing.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; }

    public string Name => Config.GetValueOrDefault("name") is { } name and not "null" ? name : Path.GetFileName(Path.GetFullPath(Folder));

    public string Seed => Config.GetValueOrDefault("seed", "0");

    public IReadOnlyList<SavedEpoch> Epochs => Table<SavedEpoch>(_folder.Epochs);

    public IReadOnlyList<AnytimeRow> Anytime => WholeTable<AnytimeRow>(_folder.Evaluation.Anytime, row => row.Exit);

    public IReadOnlyList<DynamicRow> Dynamic => WholeTable<DynamicRow>(_folder.Evaluation.Dynamic, row => row.Exit);

    public IReadOnlyList<LatencyRow> Latency => Table<LatencyRow>(_folder.Evaluation.Latency);

    public IReadOnlyList<ExitRow> Exits => WholeTable<ExitRow>(_folder.Evaluation.Exits, row => row.Exit);

    public IReadOnlyList<ClassRow> Classes => WholeTable<ClassRow>(_folder.Evaluation.Classes, row => row.Exit);

    public IReadOnlyList<CorrelationRow> Correlation => Table<CorrelationRow>(_folder.Evaluation.Correlation);

    public IReadOnlyList<TimingRow> Timing => Table<TimingRow>(_folder.Timing);

    /// <summary>The predictions for the test images; without images if the file is missing.</summary>
    public TestAnswers Answers => Once(_folder.Evaluation.Predictions, file
        => new TestAnswers(File.Exists(file)
            ? WholeRows(file, row => row.Exit, CsvTable.Read<PredictionRow>(file)).Where(row => row.Split == "test")
            : [], file));

    /// <summary>The last saved sample weights and their file; null if there is none.</summary>
    public (string File, IReadOnlyList<SavedWeight> Rows)? Weights
    {
        get
        {
            string weights = Path.Combine(Folder, "weights");
            string? last = Directory.Exists(weights)
                ? Directory.EnumerateFiles(weights).Where(file => WeightsName().IsMatch(Path.GetFileName(file))).MaxBy(EpochOf)
                : null;
            return last is null ? null : ($"weights/{Path.GetFileName(last)}", Table<SavedWeight>(last));
        }
    }

    private IReadOnlyList<T> Table<T>(string file) => Once(file, CsvTable.Read<T>);

    private IReadOnlyList<T> WholeTable<T>(string file, Func<T, int> exitOf)
        => File.Exists(file) ? WholeRows(file, exitOf, Table<T>(file)) : [];

    /// <summary>What is read from a file, read only once.</summary>
    private T Once<T>(string file, Func<string, T> read) where T : class
    {
        if (!_tables.TryGetValue(file, out object? made))
        {
            _tables[file] = made = read(file);
        }

        return (T)made;
    }

    /// <summary>The rows of a table that is written whole: equally many for every exit that has a row in <c>cost.csv</c>.</summary>
    private IReadOnlyList<T> WholeRows<T>(string file, Func<T, int> exitOf, IReadOnlyList<T> rows)
    {
        Dictionary<int, int> counts = rows.CountBy(exitOf).ToDictionary();
        int[] exits = [.. Enumerable.Range(1, Math.Max(Table<CostRow>(_folder.Cost).Count, Math.Max(1, counts.Count)))];
        int fewest = exits.MinBy(exit => counts.GetValueOrDefault(exit));
        int least = counts.GetValueOrDefault(fewest), most = counts.Values.DefaultIfEmpty(1).Max();
        return least == most && counts.Count == exits.Length
            ? rows
            : throw new UsageException(FormattableString.Invariant(
                $"{file} is incomplete: it has {least} of {most} rows for exit {fewest}; ")
                + $"copy the complete file, or write it again: {SelfProcess.CommandLine("eval", Folder)}");
    }

    private static long EpochOf(string file)
        => long.Parse(WeightsName().Match(Path.GetFileName(file)).Groups[1].ValueSpan, CultureInfo.InvariantCulture);

    private static string TextOf(YamlValue value) => value switch
    {
        YamlScalar scalar => scalar.IsNull ? "null" : scalar.Text,
        YamlList list => $"[{string.Join(", ", list.Items.Select(item => item.Text))}]",
        _ => "",
    };

    private static Dictionary<string, string> ReadEnvironment(string file)
    {
        try
        {
            using JsonDocument? json = File.Exists(file) ? JsonDocument.Parse(File.ReadAllText(file)) : null;
            return json?.RootElement.EnumerateObject().ToDictionary(property => property.Name, property => TextOf(property.Value)) ?? [];
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException
            or IOException or UnauthorizedAccessException)
        {
            string problem = e switch
            {
                JsonException { LineNumber: { } line } => FormattableString.Invariant($"line {line + 1} is not valid JSON"),
                InvalidOperationException => "it is not a JSON object",
                ArgumentException => "it has a duplicate key",
                _ => Terminal.Sanitize(e.Message.ReplaceLineEndings(" ").TrimEnd('.')),
            };
            throw new UsageException(
                $"{file} is not a file written by imta train ({problem}); restore the run's own file, or remove it", e);
        }
    }

    private static string TextOf(JsonElement value)
        => value.ValueKind == JsonValueKind.Array ? string.Join(' ', value.EnumerateArray().Select(TextOf)) : value.ToString();

    [GeneratedRegex("^epoch-([0-9]{1,18})[.]csv$")]
    private static partial Regex WeightsName();
}

/// <summary>The columns of a row of <c>weights/epoch-NNNN.csv</c> that a report uses.</summary>
[CsvRecord]
internal sealed partial record SavedWeight
{
    [CsvColumn("difficulty")]
    public required float? Difficulty { get; init; }

    [CsvColumn("exit")]
    public required int Exit { get; init; }

    [CsvColumn("loss")]
    public required float Loss { get; init; }

    /// <summary>Null for runs of earlier versions.</summary>
    [CsvColumn("confidence", Optional = true)]
    public float? Confidence { get; init; }

    [CsvColumn("weight")]
    public required float Weight { get; init; }
}
