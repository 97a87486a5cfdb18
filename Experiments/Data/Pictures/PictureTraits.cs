namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>What is special about a picture's file.</summary>
[Flags]
internal enum PictureTraits
{
    /// <summary>Nothing: a JPEG of red, green and blue.</summary>
    None = 0,

    /// <summary>Grey: all three channels are the same.</summary>
    Grey = 1,

    /// <summary>Of cyan, magenta, yellow and black.</summary>
    Cmyk = 2,

    /// <summary>Its Exif data ask viewers to turn or mirror it, which nothing here does: neither do torchvision's data sets.</summary>
    Rotated = 4,

    /// <summary>A JPEG that was cut off: a part of the pixels is a guess. Skia does not tell of other damage.</summary>
    Damaged = 8,

    /// <summary>A PNG file.</summary>
    Png = 16,
}

/// <summary>The head of a picture's file.</summary>
/// <param name="Width">Pixels.</param>
/// <param name="Height">Pixels.</param>
/// <param name="Traits">As far as the head shows them.</param>
internal readonly record struct PictureHead(int Width, int Height, PictureTraits Traits);
