using System.Text.Json.Serialization;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The content of a report; laid out by <c>web/report.js</c>.</summary>
/// <param name="Title">The page's title.</param>
/// <param name="Made">The generating program.</param>
/// <param name="Runs">Names of runs and variants, in colour order.</param>
/// <param name="Sections">In order.</param>
internal sealed record Report(string Title, string Made, IReadOnlyList<string> Runs, IReadOnlyList<Section> Sections)
{
    /// <summary>After how many seconds an open page reloads itself, because it will be rewritten; null: never.</summary>
    public int? ReloadSeconds { get; init; }
}

/// <summary>Blocks under a heading.</summary>
internal sealed record Section(string Title, IReadOnlyList<Block> Blocks);

/// <summary>A part of a section.</summary>
/// <param name="Id">Its URL fragment and file name.</param>
/// <param name="Title">Its heading.</param>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "block")]
[JsonDerivedType(typeof(Figure), "figure")]
[JsonDerivedType(typeof(Table), "table")]
[JsonDerivedType(typeof(Note), "note")]
internal abstract record Block(string Id, string Title);

/// <summary>A sentence shown instead of a figure.</summary>
internal sealed record Note(string Id, string Title, string Text) : Block(Id, Title);

/// <summary>Text in rows.</summary>
/// <param name="Id">Its URL fragment.</param>
/// <param name="Title">Its heading.</param>
/// <param name="Caption">What it shows.</param>
/// <param name="Head">Column headings.</param>
/// <param name="Rows">One cell per column.</param>
/// <param name="Folded">Whether it is initially collapsed.</param>
internal sealed record Table(
    string Id, string Title, string Caption, IReadOnlyList<string> Head, IReadOnlyList<IReadOnlyList<string>> Rows, bool Folded = false)
    : Block(Id, Title)
{
    private const int MostOpenCells = 2000; // a browser lays these out without delay

    public bool Folded { get; } = Folded || Head.Count * Rows.Count > MostOpenCells;
}

/// <summary>A chart, drawn by <c>web/charts.js</c>.</summary>
/// <param name="Id">Its URL fragment and file name.</param>
/// <param name="Title">Its heading.</param>
/// <param name="Caption">What it shows, and the source file.</param>
/// <param name="Kind"><c>lines</c>, <c>scatter</c>, <c>bars</c>, <c>shares</c>: stacked bars, or <c>matrix</c>.</param>
/// <param name="X">Its horizontal axis.</param>
/// <param name="Y">Its vertical axis.</param>
/// <param name="Views">The selectable views, initially the first.</param>
internal sealed record Figure(
    string Id, string Title, string Caption, string Kind, Axis X, Axis Y, IReadOnlyList<View> Views) : Block(Id, Title)
{
    /// <summary>The names of the view selectors, one per label of a view.</summary>
    public IReadOnlyList<string>? Choices { get; init; }

    /// <summary>Which runs it leaves out, and why.</summary>
    public string? Missing { get; init; }

    /// <summary>Columns shared by several views (<see cref="Series.Columns"/>).</summary>
    public IReadOnlyList<double[]>? Columns { get; init; }
}

/// <summary>An axis.</summary>
/// <param name="Name">With its unit.</param>
/// <param name="Form">The number format: <c>number</c>, <c>whole</c>, <c>count</c> (with k, M, G), <c>percent</c> (fractions shown as
/// percentages), or <c>category</c>.</param>
internal sealed record Axis(string Name, string Form)
{
    /// <summary>MACs per image.</summary>
    public static readonly Axis Macs = new("multiply-adds per image", "count");

    /// <summary>Top-1 accuracy on the test set.</summary>
    public static readonly Axis TestAccuracy = new("test accuracy, %", "percent");

    /// <summary>Whether it always starts at 0.</summary>
    public bool FromZero { get; init; }

    /// <summary>The upper limit, in displayed units; null: automatic.</summary>
    public double? Max { get; init; }
}

/// <summary>A view of a figure.</summary>
/// <param name="Series">The series drawn.</param>
internal sealed record View(IReadOnlyList<Series> Series)
{
    /// <summary>The labels that select it, one for each of <see cref="Figure.Choices"/>.</summary>
    public IReadOnlyList<string>? Labels { get; init; }

    /// <summary>A note on this view.</summary>
    public string? Remark { get; init; }

    /// <summary>Category names of the horizontal axis; the first are also those of a vertical one.</summary>
    public IReadOnlyList<string>? Categories { get; init; }

    /// <summary>Vertical lines.</summary>
    public IReadOnlyList<Mark>? Marks { get; init; }
}

/// <summary>A labelled vertical line.</summary>
internal sealed record Mark(double X, string Label);

/// <summary>A line, a scatter of points, or one bar per category.</summary>
/// <param name="Name">The legend name, unique within a view.</param>
/// <param name="Colour">Its colour.</param>
/// <param name="Points">The points; for bars, one per category.</param>
internal sealed record Series(string Name, Colour Colour, IReadOnlyList<Point> Points)
{
    /// <summary>Whether it comes from a user's file (<c>--points</c>).</summary>
    public bool Foreign { get; init; }

    /// <summary>Instead of points: the indices of x and y in <see cref="Figure.Columns"/>.</summary>
    public int[]? Columns { get; init; }

    /// <summary>Instead of points, for a matrix: a count per column in each row.</summary>
    public IReadOnlyList<int[]>? Counts { get; init; }
}

/// <summary>A colour.</summary>
/// <param name="Scheme"><c>run</c>: consistent for a run or variant across figures; <c>exit</c>: from dark to light; <c>guide</c>:
/// grey, for what is not a result.</param>
/// <param name="Index">The index, from 0.</param>
/// <param name="Count">The total number.</param>
internal sealed record Colour(string Scheme, int Index, int Count)
{
    public static readonly Colour Guide = new("guide", 0, 1);

    public static Colour Exit(int exit, int exits) => new("exit", exit - 1, exits);
}

/// <summary>A point or bar, with an error range if several values were averaged, and a tooltip text.</summary>
internal sealed record Point(double X, double? Y, double? Low = null, double? High = null, string? Label = null);
