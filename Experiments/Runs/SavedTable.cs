using System.Reflection;
using CsvHelper;

namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>Tables that an earlier command, or a user, has written.</summary>
internal static class SavedTable
{
    /// <summary>The rows; none where there is no such file.</summary>
    /// <exception cref="UsageException">It is damaged, or cannot be read: the message names file and line.</exception>
    public static IReadOnlyList<T> Read<T>(string file)
    {
        try
        {
            return File.Exists(file) ? Rows<T>(file) : [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{Terminal.OneLine(file)} cannot be read ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')})", e);
        }
    }

    private static IReadOnlyList<T> Rows<T>(string file)
    {
        using CsvReader csv = CsvTable.Open(file);
        try
        {
            return CsvTable.Rows<T>(csv);
        }
        catch (KeyNotFoundException e)
        {
            string missing = string.Join(", ", Required(typeof(T)).Where(column => !csv.TryGetFieldIndex(column, out _)));
            throw new UsageException($"{Terminal.OneLine(file)}: it has no column {missing}; wanted a comma-separated table with a header", e);
        }
        catch (CsvFormatException e)
        {
            throw new UsageException(FormattableString.Invariant($"{Terminal.OneLine(file)}, line {e.LineNumber}: {Problem(csv, e)}"), e);
        }
    }

    private static IEnumerable<string> Required(Type row) => row.GetProperties()
        .Select(property => property.GetCustomAttribute<CsvColumnAttribute>())
        .Where(column => column is { Optional: false })
        .Select(column => column!.Name!);

    private static string Problem(CsvReader csv, CsvFormatException e) => e switch
    {
        { InnerException: IndexOutOfRangeException } => "the line is too short; is the file whole?",
        { FieldIndex: >= 0 and var field } => $"{csv.Headers[field]} is '{Terminal.OneLine(csv.GetString(field))}', which is no such value",
        _ => $"this is no such table ({Terminal.OneLine(e.Message.Split('\n')[0].TrimEnd('.', '\r'))})",
    };
}
