using System.Globalization;
using CsvHelper;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>CSV as every table here has it: snake_case headers, commas, invariant culture, <c>\n</c>.</summary>
internal static class CsvTable
{
    private static readonly CsvWriterOptions Written = new()
    {
        Separator = ',',
        NewLine = "\n",
        FormatProvider = CultureInfo.InvariantCulture,
        Quoting = CsvQuoting.WhenNeededOrWhitespace,
    };

    /// <summary>The reader's own defaults guess the separator and mend what is damaged: a torn table would be read as another one.</summary>
    private static readonly CsvReaderOptions Accepted = new()
    {
        Separator = ',',
        FormatProvider = CultureInfo.InvariantCulture,
        MissingField = CsvMissingFieldHandling.Throw,
        MalformedData = CsvMalformedDataHandling.Throw,
        TrackLineNumbers = true, // for messages
    };

    /// <summary>A whole table, in place of what was there.</summary>
    public static void Write<T>(string path, IEnumerable<T> rows) => AtomicFile.Write(path, stream => WriteTo(stream, rows, header: true));

    /// <summary>The rows of a table.</summary>
    public static IReadOnlyList<T> Read<T>(string path)
    {
        using CsvReader csv = Open(path);
        return Rows<T>(csv);
    }

    /// <summary>A table, from its start.</summary>
    public static CsvReader Open(string path) => CsvReader.Create(File.OpenRead(path), Accepted);

    /// <summary>The rows of a table that was opened; none where the file is empty.</summary>
    /// <exception cref="KeyNotFoundException">It lacks a column.</exception>
    /// <exception cref="CsvFormatException">A line is damaged, or holds another kind of value.</exception>
    public static IReadOnlyList<T> Rows<T>(CsvReader csv)
    {
        csv.ReadHeader();
        return csv.Headers.Count == 0 ? [] : [.. csv.GetRecords<T>()];
    }

    /// <summary>More rows at the end of a table, which starts with its header.</summary>
    public static void Append<T>(string path, IEnumerable<T> rows)
    {
        using var stream = new FileStream(path, FileMode.Append);
        WriteTo(stream, rows, header: stream.Position == 0);
        stream.Flush(flushToDisk: true);
    }

    /// <summary>Drops what a later moment than <paramref name="epoch"/> wrote; the first column is the epoch, and a torn last line goes too.</summary>
    public static void KeepThrough(string path, int epoch)
    {
        if (!File.Exists(path))
        {
            return;
        }

        string text = File.ReadAllText(path);
        string[] whole = text[..(text.LastIndexOf('\n') + 1)].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        IEnumerable<string> kept = whole.Where((line, number) => number == 0
            || (int.TryParse(line.Split(',')[0], NumberStyles.None, CultureInfo.InvariantCulture, out int of) && of <= epoch));
        AtomicFile.WriteText(path, string.Concat(kept.Select(line => line + "\n")));
    }

    private static void WriteTo<T>(Stream stream, IEnumerable<T> rows, bool header)
    {
        using var csv = CsvWriter.Create(stream, Written, leaveOpen: true);
        if (header)
        {
            csv.WriteHeader<T>();
        }

        foreach (T row in rows)
        {
            csv.WriteRecord(row);
        }
    }
}
