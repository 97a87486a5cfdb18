namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>A crop of an image, resampled, and a crop of the result.</summary>
/// <param name="Top">The first row of the crop.</param>
/// <param name="Left">Its first column.</param>
/// <param name="Height">Its rows.</param>
/// <param name="Width">Its columns.</param>
/// <param name="Rows">Number of rows after resampling.</param>
/// <param name="Columns">Number of columns after resampling.</param>
/// <param name="Row">The first row of the result to keep.</param>
/// <param name="Column">The first column.</param>
/// <param name="SideY">Number of rows to keep.</param>
/// <param name="SideX">Number of columns to keep.</param>
internal readonly record struct ImageWindow(
    int Top, int Left, int Height, int Width, int Rows, int Columns, int Row, int Column, int SideY, int SideX)
{
    private const int MaxRows = 1 << 28; // and columns, so that positions do not overflow

    /// <summary>The whole image, unchanged.</summary>
    public static ImageWindow All(ImageHeader head)
        => new(0, 0, head.Height, head.Width, head.Height, head.Width, 0, 0, head.Height, head.Width);

    /// <summary>Whether its crops are valid for an image of this size.</summary>
    /// <param name="width">Pixels.</param>
    /// <param name="height">Pixels.</param>
    public bool IsWithin(int width, int height)
        => this is { Top: >= 0, Left: >= 0, Height: > 0, Width: > 0, Row: >= 0, Column: >= 0 }
            && this is { SideY: > 0, SideX: > 0, Rows: <= MaxRows, Columns: <= MaxRows }
            && (long)Top + Height <= height && (long)Left + Width <= width && (long)Row + SideY <= Rows && (long)Column + SideX <= Columns;
}
