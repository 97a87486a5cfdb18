using Spectre.Console;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>Rows of text: a table on a terminal, aligned text elsewhere, with one line per row for <c>grep</c> and the like.</summary>
internal static class ConsoleTable
{
    private const string Gap = "  ";

    /// <summary>Prints groups of rows, separated by empty lines.</summary>
    /// <param name="headings">One per column.</param>
    /// <param name="groups">Rows with one cell per heading; the first cell is not wrapped.</param>
    public static void Write(IReadOnlyList<string> headings, IReadOnlyList<IReadOnlyList<string[]>> groups)
    {
        if (!Terminal.IsTerminal)
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

    /// <summary>The rows as aligned lines; the last column is not truncated or padded.</summary>
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

        string Line(IReadOnlyList<string> texts)
            => string.Join(Gap, texts.Select((text, column) => text.PadRight(widths[column]))).TrimEnd();
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
