using Spectre.Console;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>Rows of text: a table on a terminal, aligned lines elsewhere, a row a line for <c>grep</c> and the like.</summary>
internal static class ConsoleTable
{
    private const string Gap = "  ";

    /// <summary>Shows groups of rows with an empty line between two groups.</summary>
    /// <param name="headings">One text a column.</param>
    /// <param name="groups">Rows of as many texts as there are headings; the first one stays on one line.</param>
    public static void Write(IReadOnlyList<string> headings, IReadOnlyList<IReadOnlyList<string[]>> groups)
    {
        if (!Terminal.IsSeen)
        {
            foreach (string line in Lines(headings, groups))
            {
                Console.Out.WriteLine(line);
            }
        }
        else
        {
            AnsiConsole.Write(Table(headings, groups));
        }
    }

    /// <summary>The rows as aligned lines; the last column has its full length.</summary>
    internal static IEnumerable<string> Lines(IReadOnlyList<string> headings, IReadOnlyList<IReadOnlyList<string[]>> groups)
    {
        int[] widths = [.. headings.Select((heading, column) =>
            groups.SelectMany(rows => rows).Select(row => row[column].Length).Append(heading.Length).Max())];
        yield return Line(headings);
        foreach (IReadOnlyList<string[]> rows in groups)
        {
            if (rows != groups[0])
            {
                yield return "";
            }

            foreach (string[] row in rows)
            {
                yield return Line(row);
            }
        }

        string Line(IReadOnlyList<string> texts) => string.Join(Gap, texts.Select((text, column) => text.PadRight(widths[column]))).TrimEnd();
    }

    private static Table Table(IReadOnlyList<string> headings, IReadOnlyList<IReadOnlyList<string[]>> groups)
    {
        Table table = new Table().Border(TableBorder.Simple);
        for (int column = 0; column < headings.Count; column++)
        {
            var header = new TableColumn(new Text(headings[column], new Style(decoration: Decoration.Bold)));
            table.AddColumn(column == 0 ? header.NoWrap() : header);
        }

        foreach (IReadOnlyList<string[]> rows in groups)
        {
            if (rows != groups[0])
            {
                table.AddEmptyRow();
            }

            foreach (string[] row in rows)
            {
                table.AddRow(row.Select(text => new Text(text)));
            }
        }

        return table;
    }
}
