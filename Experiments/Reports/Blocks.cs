using System.Text.Json.Serialization;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>All that a report shows; <c>web/report.js</c> lays it out.</summary>
/// <param name="Title">The page's name.</param>
/// <param name="Made">By what.</param>
/// <param name="Runs">Names of the runs and variants, in the order of their colours.</param>
/// <param name="Sections">In their order.</param>
internal sealed record Report(string Title, string Made, IReadOnlyList<string> Runs, IReadOnlyList<Section> Sections);

/// <summary>Blocks below a heading.</summary>
internal sealed record Section(string Title, IReadOnlyList<Block> Blocks);

/// <summary>A part of a section.</summary>
/// <param name="Id">Its name in the page's address, and of its file.</param>
/// <param name="Title">Its heading.</param>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "block")]
[JsonDerivedType(typeof(Figure), "figure")]
[JsonDerivedType(typeof(Table), "table")]
[JsonDerivedType(typeof(Note), "note")]
internal abstract record Block(string Id, string Title);

/// <summary>A sentence in the place of a figure.</summary>
internal sealed record Note(string Id, string Title, string Text) : Block(Id, Title);

/// <summary>Text in rows.</summary>
/// <param name="Id">Its name in the page's address.</param>
/// <param name="Title">Its heading.</param>
/// <param name="Caption">What it shows.</param>
/// <param name="Head">Names of the columns.</param>
/// <param name="Rows">A text for each column.</param>
/// <param name="Folded">Whether it is shown on demand.</param>
internal sealed record Table(string Id, string Title, string Caption, IReadOnlyList<string> Head, IReadOnlyList<IReadOnlyList<string>> Rows, bool Folded = false)
    : Block(Id, Title);

/// <summary>A chart; <c>web/charts.js</c> draws it.</summary>
/// <param name="Id">Its name in the page's address, and of its file.</param>
/// <param name="Title">Its heading.</param>
/// <param name="Caption">What one sees, and from which file.</param>
/// <param name="Kind"><c>lines</c>, <c>scatter</c>, <c>bars</c>, or <c>shares</c>: bars on one another.</param>
/// <param name="X">Its horizontal axis.</param>
/// <param name="Y">Its vertical axis.</param>
/// <param name="Views">What it can show, one at a time, at first the first.</param>
internal sealed record Figure(string Id, string Title, string Caption, string Kind, Axis X, Axis Y, IReadOnlyList<View> Views) : Block(Id, Title)
{
    /// <summary>What the labels of the views are: as many as each view has.</summary>
    public IReadOnlyList<string>? Choices { get; init; }

    /// <summary>Which runs it leaves out, and why.</summary>
    public string? Missing { get; init; }

    /// <summary>Numbers that several views share (<see cref="Series.Columns"/>).</summary>
    public IReadOnlyList<double[]>? Columns { get; init; }
}

/// <summary>An axis.</summary>
/// <param name="Name">With its unit.</param>
/// <param name="Form">Of its numbers: <c>number</c>, <c>whole</c>, <c>count</c> (with k, M, G), <c>percent</c> (fractions of 1, shown times 100), or <c>category</c>.</param>
internal sealed record Axis(string Name, string Form)
{
    /// <summary>Multiply-adds of an image.</summary>
    public static readonly Axis Macs = new("multiply-adds of an image", "count");

    /// <summary>Top-1 accuracy on the test set.</summary>
    public static readonly Axis TestAccuracy = new("test accuracy, %", "percent");

    /// <summary>Whether it starts at 0 whatever the data are.</summary>
    public bool FromZero { get; init; }

    /// <summary>Where it ends, in what is shown; null: by the data.</summary>
    public double? Max { get; init; }
}

/// <summary>A state of a figure.</summary>
/// <param name="Series">What is drawn.</param>
internal sealed record View(IReadOnlyList<Series> Series)
{
    /// <summary>By which it is chosen, one for each of <see cref="Figure.Choices"/>.</summary>
    public IReadOnlyList<string>? Labels { get; init; }

    /// <summary>A word about this view alone.</summary>
    public string? Remark { get; init; }

    /// <summary>Names along a horizontal axis of categories.</summary>
    public IReadOnlyList<string>? Categories { get; init; }

    /// <summary>Vertical lines.</summary>
    public IReadOnlyList<Mark>? Marks { get; init; }
}

/// <summary>A vertical line with a word.</summary>
internal sealed record Mark(double X, string Label);

/// <summary>A line, a cloud of points, or a bar in each category.</summary>
/// <param name="Name">In the legend; a view's differ.</param>
/// <param name="Colour">Its colour.</param>
/// <param name="Points">What is drawn; of bars one a category.</param>
internal sealed record Series(string Name, Colour Colour, IReadOnlyList<Point> Points)
{
    /// <summary>Whether it comes from elsewhere (<c>--points</c>).</summary>
    public bool Foreign { get; init; }

    /// <summary>In the place of points: which of <see cref="Figure.Columns"/> are x and y.</summary>
    public int[]? Columns { get; init; }
}

/// <summary>A colour.</summary>
/// <param name="Of"><c>run</c>: the same for a run or variant in all figures; <c>exit</c>: from dark to light.</param>
/// <param name="Index">Which, from 0.</param>
/// <param name="Count">Of so many.</param>
internal sealed record Colour(string Of, int Index, int Count)
{
    public static Colour Exit(int exit, int exits) => new("exit", exit - 1, exits);
}

/// <summary>A point or bar, with the range about it where several values were averaged, and a word for its tooltip.</summary>
internal sealed record Point(double X, double? Y, double? Low = null, double? High = null, string? Label = null);
