namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>A part of a picture, resampled, and of that a part.</summary>
/// <param name="Top">The first row of the picture's part.</param>
/// <param name="Left">Its first column.</param>
/// <param name="Height">Its rows.</param>
/// <param name="Width">Its columns.</param>
/// <param name="Rows">To how many rows it is resampled.</param>
/// <param name="Columns">To how many columns.</param>
/// <param name="Row">Of these, the first row that is wanted.</param>
/// <param name="Column">The first column.</param>
/// <param name="SideY">How many rows are wanted.</param>
/// <param name="SideX">How many columns.</param>
internal readonly record struct PictureWindow(int Top, int Left, int Height, int Width, int Rows, int Columns, int Row, int Column, int SideY, int SideX)
{
    private const int MostRows = 1 << 28; // and columns: places between them still have their numbers

    /// <summary>All of a picture, as it is.</summary>
    public static PictureWindow All(PictureHead head) => new(0, 0, head.Height, head.Width, head.Height, head.Width, 0, 0, head.Height, head.Width);

    /// <summary>Whether its parts lie within each other, and all within a picture of this size.</summary>
    /// <param name="width">Pixels.</param>
    /// <param name="height">Pixels.</param>
    public bool IsWithin(int width, int height)
        => this is { Top: >= 0, Left: >= 0, Height: > 0, Width: > 0, Row: >= 0, Column: >= 0, SideY: > 0, SideX: > 0, Rows: <= MostRows, Columns: <= MostRows }
            && (long)Top + Height <= height && (long)Left + Width <= width && (long)Row + SideY <= Rows && (long)Column + SideX <= Columns;
}
