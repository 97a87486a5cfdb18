using System.Globalization;
using System.Text;
using CsvHelper;
using CsvHelper.Configuration;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>CSV as every table here has it: snake_case headers, invariant culture, <c>\n</c>.</summary>
internal static class CsvTable
{
    private static readonly CsvConfiguration Format = new(CultureInfo.InvariantCulture) { NewLine = "\n" };

    /// <summary>A whole table, in place of what was there.</summary>
    public static void Write<T>(string path, IEnumerable<T> rows) => AtomicFile.Write(path, stream => WriteTo(stream, rows, header: true));

    /// <summary>The rows of a table.</summary>
    public static IReadOnlyList<T> Read<T>(string path)
    {
        using var csv = new CsvReader(new StreamReader(path), Format);
        return [.. csv.GetRecords<T>()];
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
        using var text = new StreamWriter(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false), leaveOpen: true);
        using var csv = new CsvWriter(text, Format);
        if (header)
        {
            csv.WriteHeader<T>();
            csv.NextRecord();
        }

        foreach (T row in rows)
        {
            csv.WriteRecord(row);
            csv.NextRecord();
        }
    }
}
