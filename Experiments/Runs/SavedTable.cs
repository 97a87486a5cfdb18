using CsvHelper;
using CsvHelper.TypeConversion;
using Imta.MetaWeight.Experiments.Configuration;

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
            return File.Exists(file) ? CsvTable.Read<T>(file) : [];
        }
        catch (CsvHelperException e)
        {
            throw new UsageException($"{YamlReader.OneLine(file)}{Line(e)}: {Problem(e)}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{YamlReader.OneLine(file)} cannot be read ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')})", e);
        }
    }

    private static string Line(CsvHelperException e) => e is HeaderValidationException || e.Context?.Parser is not { RawRow: > 0 } parser
        ? ""
        : FormattableString.Invariant($", line {parser.RawRow}");

    private static string Problem(CsvHelperException e) => e switch
    {
        HeaderValidationException header => $"it has no column {string.Join(", ", header.InvalidHeaders.SelectMany(missing => missing.Names))}; wanted a comma-separated table with a header",
        TypeConverterException value => $"{value.MemberMapData.Names.FirstOrDefault() ?? "a column"} is '{YamlReader.OneLine(value.Text ?? "")}', which is no such value",
        CsvHelper.MissingFieldException => "the line is too short; is the file whole?",
        _ => $"this is no such table ({YamlReader.OneLine(e.Message.Split('\n')[0].TrimEnd('.', '\r'))})",
    };
}
