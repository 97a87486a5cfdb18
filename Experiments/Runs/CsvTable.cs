using System.Globalization;
using System.Reflection;
using CsvHelper;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>
/// CSV files: written with snake_case headers, commas, invariant culture and <c>\n</c>; reading also accepts <c>\r\n</c>, further columns
/// and another column order.
/// </summary>
internal static class CsvTable
{
    private static readonly CsvWriterOptions Written = new()
    {
        Separator = ',',
        NewLine = "\n",
        FormatProvider = CultureInfo.InvariantCulture,
        Quoting = CsvQuoting.WhenNeededOrWhitespace,
    };

    /// <summary>The reader's defaults guess the separator and repair damage: a torn table would be read as a different one.</summary>
    private static readonly CsvReaderOptions Accepted = new()
    {
        Separator = ',',
        FormatProvider = CultureInfo.InvariantCulture,
        MissingField = CsvMissingFieldHandling.Throw,
        MalformedData = CsvMalformedDataHandling.Throw,
        TrackLineNumbers = true, // for messages
    };

    /// <summary>Writes a complete table, replacing any existing file.</summary>
    public static void Write<T>(string path, IEnumerable<T> rows) => AtomicFile.Write(path, stream => WriteTo(stream, rows));

    /// <summary>Appends rows to a table, writing the header first if it is new.</summary>
    public static void Append<T>(string path, IEnumerable<T> rows) => AppendTo(path, stream => WriteTo(stream, rows));

    /// <summary>Appends rows to a table of numbers, writing the header first if it is new.</summary>
    /// <param name="path">The file.</param>
    /// <param name="header">The names of the columns.</param>
    /// <param name="rows">A value per column; null: an empty field.</param>
    public static void Append(string path, IEnumerable<string> header, IEnumerable<double?[]> rows) => AppendTo(path, stream =>
    {
        using var csv = CsvWriter.Create(stream, Written, leaveOpen: true);
        if (stream.Position == 0)
        {
            WriteLine(header, csv.WriteField);
        }

        foreach (double?[] row in rows)
        {
            WriteLine(row, value => csv.WriteField(value));
        }

        void WriteLine<T>(IEnumerable<T> fields, Action<T> write)
        {
            foreach (T field in fields)
            {
                write(field);
            }

            csv.EndRecord();
        }
    });

    /// <summary>The names of the columns of a table that this program wrote; null: it has no whole line yet, or does not exist.</summary>
    public static string[]? Header(string path)
        => File.Exists(path) && File.ReadAllText(path).Split('\n') is [var first, _, ..] ? first.TrimEnd('\r').Split(',') : null;

    /// <summary>The rows; none if the file does not exist.</summary>
    /// <exception cref="UsageException">It is damaged or cannot be read; the message names file and line.</exception>
    public static IReadOnlyList<T> Read<T>(string path)
    {
        try
        {
            return File.Exists(path) ? Rows<T>(path) : [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{Terminal.Sanitize(path)} cannot be read ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')})", e);
        }
    }

    /// <summary>Drops the rows whose first column, the epoch, is after <paramref name="epoch"/>, and a torn last line.</summary>
    public static void TruncateAfter(string path, int epoch)
    {
        if (!File.Exists(path))
        {
            return;
        }

        string text = File.ReadAllText(path).ReplaceLineEndings("\n");
        string[] whole = text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        IEnumerable<string> kept = whole.Where((line, number) => number == 0
            || (int.TryParse(line.Split(',')[0], NumberStyles.None, CultureInfo.InvariantCulture, out int of) && of <= epoch));
        AtomicFile.WriteText(path, string.Concat(kept.Select(line => line + "\n")));
    }

    private static void AppendTo(string path, Action<Stream> write)
    {
        using var stream = new FileStream(path, FileMode.Append);
        write(stream);
        stream.Flush(flushToDisk: true);
    }

    private static void WriteTo<T>(Stream stream, IEnumerable<T> rows)
    {
        using var csv = CsvWriter.Create(stream, Written, leaveOpen: true);
        if (stream.Position == 0)
        {
            csv.WriteHeader<T>();
        }

        foreach (T row in rows)
        {
            csv.WriteRecord(row);
        }
    }

    private static IReadOnlyList<T> Rows<T>(string path)
    {
        using CsvReader csv = CsvReader.Create(File.OpenRead(path), Accepted);
        try
        {
            csv.ReadHeader();
            if (csv.Headers.Count == 0)
            {
                return [];
            }

            string[] missing = [.. Required(typeof(T)).Where(column => !csv.TryGetFieldIndex(column, out _))];
            return missing.Length == 0
                ? CheckFractions(path, [.. csv.GetRecords<T>()])
                : throw new UsageException($"{Terminal.Sanitize(path)}: it has no column {string.Join(", ", missing)}; expected a "
                    + "comma-separated table with a header");
        }
        catch (CsvFormatException e)
        {
            throw new UsageException(FormattableString.Invariant($"{Terminal.Sanitize(path)}, line {e.LineNumber}: {Problem(csv, e)}"), e);
        }
    }

    private static T[] CheckFractions<T>(string path, T[] rows)
    {
        foreach (PropertyInfo column in typeof(T).GetProperties().Where(property => property.IsDefined(typeof(FractionAttribute))))
        {
            int wrong = Array.FindIndex(rows, row => column.GetValue(row) is double and not (>= 0 and <= 1));
            if (wrong >= 0)
            {
                string name = column.GetCustomAttribute<CsvColumnAttribute>()!.Name!;
                object? value = column.GetValue(rows[wrong]);
                throw new UsageException(FormattableString.Invariant(
                    $"{Terminal.Sanitize(path)}, row {wrong + 1}: {name} is {value}; expected a fraction from 0 to 1"));
            }
        }

        return rows;
    }

    private static IEnumerable<string> Required(Type row) => row.GetProperties()
        .Select(property => property.GetCustomAttribute<CsvColumnAttribute>())
        .Where(column => column is { Optional: false })
        .Select(column => column!.Name!);

    private static string Problem(CsvReader csv, CsvFormatException e) => e switch
    {
        { InnerException: IndexOutOfRangeException } => "the line is too short; is the file complete?",
        { FieldIndex: >= 0 and var field } =>
            $"{csv.Headers[field]} is '{Terminal.Sanitize(csv.GetString(field))}', which is not a valid value",
        _ => $"this is not a valid CSV table ({Terminal.Sanitize(e.Message.Split('\n')[0].TrimEnd('.', '\r'))})",
    };
}

/// <summary>A column of type double whose values are fractions, 0 … 1; a table with other values is rejected.</summary>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class FractionAttribute : Attribute;
