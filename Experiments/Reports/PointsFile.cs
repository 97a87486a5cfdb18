using System.Globalization;
using CsvHelper;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>External results that a user supplies with <c>--points</c>.</summary>
internal static class PointsFile
{
    /// <summary>A series for each name in the files, in the order of the files.</summary>
    /// <param name="files">The files.</param>
    /// <param name="taken">Names already used by other series.</param>
    /// <exception cref="UsageException">One line: the file, the problem, and what is expected.</exception>
    public static IReadOnlyList<Series> Read(IReadOnlyList<string> files, IReadOnlyList<string> taken)
        => [.. files.SelectMany(Rows).GroupBy(row => row.Name).Select((rows, k) => new Series(
            taken.Contains(rows.Key) ? $"{rows.Key} (given)" : rows.Key,
            new Colour("run", taken.Count + k, 0),
            [.. rows.OrderBy(row => row.Macs).Select(row => new Point(row.Macs, row.Accuracy, Label: Parameters(row)))])
        {
            Foreign = true,
        })];

    private static IReadOnlyList<PointRow> Rows(string file)
    {
        if (!File.Exists(file))
        {
            string problem = Directory.Exists(file) ? "is a folder" : "does not exist";
            throw new UsageException(
                $"{Terminal.Sanitize(file)} {problem}; --points needs a CSV file with the columns name, macs, accuracy");
        }

        IReadOnlyList<PointRow> rows = CsvTable.Read<PointRow>(file);
        if (rows.Count == 0)
        {
            throw new UsageException($"{file} contains no points; expected a header 'name,macs,accuracy' and one line per network");
        }

        for (int k = 0; k < rows.Count; k++)
        {
            if (Problem(rows[k]) is { } problem)
            {
                throw new UsageException($"{file}, point {k + 1}: {problem}");
            }
        }

        return rows;
    }

    private static string? Problem(PointRow row) => row switch
    {
        { Name: "" } => "it has no name",
        { Name: var name } when name.Contains('\uFFFD')
            => $"its name, {Terminal.Sanitize(name)}, is not UTF-8 text; save the file as UTF-8",
        { Accuracy: > 1 } => FormattableString.Invariant($"accuracy is {row.Accuracy}; expected a fraction, such as 0.93 for 93 %"),
        { Accuracy: not >= 0 } => FormattableString.Invariant($"accuracy is {row.Accuracy}; expected a fraction from 0 to 1"),
        { Macs: not > 0 or double.PositiveInfinity }
            => FormattableString.Invariant($"macs is {row.Macs}; expected the multiply-adds per image"),
        { Parameters: not null and not (> 0 and < double.PositiveInfinity) }
            => FormattableString.Invariant($"parameters is {row.Parameters}; expected a number of parameters, or nothing"),
        _ => null,
    };

    private static string? Parameters(PointRow row)
        => row.Parameters is { } count ? $"{count.ToString("N0", CultureInfo.InvariantCulture)} parameters" : null;
}

/// <summary>A row of such a file.</summary>
[CsvRecord]
internal sealed partial record PointRow
{
    [CsvColumn("name")]
    public required string Name { get; init; }

    [CsvColumn("macs")]
    public required double Macs { get; init; }

    [CsvColumn("accuracy")]
    public required double Accuracy { get; init; }

    [CsvColumn("parameters", Optional = true)]
    public double? Parameters { get; init; }
}
