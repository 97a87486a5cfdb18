namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>Traits of an image file.</summary>
[Flags]
internal enum ImageTraits
{
    /// <summary>None: an RGB JPEG.</summary>
    None = 0,

    /// <summary>Grey: all three channels are the same.</summary>
    Grey = 1,

    /// <summary>CMYK colours.</summary>
    Cmyk = 2,

    /// <summary>Its Exif data specifies a rotation or reflection, which is ignored here, as in torchvision's data sets.</summary>
    Rotated = 4,

    /// <summary>A truncated JPEG: some of the pixels are guesses. Skia does not report other damage.</summary>
    Damaged = 8,

    /// <summary>A PNG file.</summary>
    Png = 16,

    /// <summary>A WebP file.</summary>
    Webp = 32,

    /// <summary>A BMP file.</summary>
    Bmp = 64,
}

/// <summary>The header of an image file.</summary>
/// <param name="Width">Pixels.</param>
/// <param name="Height">Pixels.</param>
/// <param name="Traits">As far as the header shows them.</param>
internal readonly record struct ImageHeader(int Width, int Height, ImageTraits Traits);
