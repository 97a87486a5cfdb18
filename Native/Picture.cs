using System.Runtime.InteropServices;
#if TORCH_PACKAGE
using Reader = Imta.MetaWeight.Native.SkiaPicture;
#else
using Reader = Imta.MetaWeight.Native.NativePicture;
#endif

namespace Imta.MetaWeight.Native;

/// <summary>What is special about a picture's file.</summary>
[Flags]
public enum PictureTraits
{
    /// <summary>Nothing: a JPEG of red, green and blue.</summary>
    None = 0,

    /// <summary>Grey: all three channels are the same.</summary>
    Grey = 1,

    /// <summary>Of cyan, magenta, yellow and black.</summary>
    Cmyk = 2,

    /// <summary>Its Exif data ask viewers to turn or mirror it, which nothing here does: neither do torchvision's data sets.</summary>
    Rotated = 4,

    /// <summary>libjpeg warned of damage: a part of the pixels may be a guess. Skia hides these warnings: with TorchSource=package only what was cut off is told.</summary>
    Damaged = 8,

    /// <summary>A PNG file.</summary>
    Png = 16,
}

/// <summary>The head of a picture's file.</summary>
/// <param name="Width">Pixels.</param>
/// <param name="Height">Pixels.</param>
/// <param name="Traits">As far as the head shows them.</param>
public readonly record struct PictureHead(int Width, int Height, PictureTraits Traits);

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
[StructLayout(LayoutKind.Sequential)]
public readonly record struct PictureWindow(int Top, int Left, int Height, int Width, int Rows, int Columns, int Row, int Column, int SideY, int SideX);

/// <summary>
/// Reads JPEG and PNG files, on any thread: by libjpeg and libpng, or with TorchSource=package by Skia. Grey, CMYK, palettes and transparency become
/// red, green and blue as Pillow's <c>convert("RGB")</c> has it.
/// </summary>
public static class Picture
{
    /// <summary>Whether this build reads pictures.</summary>
    public static bool IsAvailable => Reader.IsAvailable;

    /// <summary>Size and traits, by the file's head.</summary>
    /// <param name="file">The whole file.</param>
    /// <exception cref="ExternalException">It is neither a JPEG nor a PNG file, or its head is damaged.</exception>
    public static PictureHead Look(ReadOnlySpan<byte> file) => Reader.Look(file);

    /// <summary>The pixels of a window, resampled as Pillow does it: bilinear, over a support that grows with the reduction.</summary>
    /// <param name="file">The whole file.</param>
    /// <param name="window">Which pixels.</param>
    /// <param name="flip">Whether left and right change places.</param>
    /// <param name="planes">Takes red, green and blue, <c>[3, SideY, SideX]</c>.</param>
    /// <returns>What is special about the file.</returns>
    /// <exception cref="ArgumentException">The planes are of another size.</exception>
    /// <exception cref="ExternalException">The file cannot be read, or the window is not within the picture.</exception>
    public static PictureTraits Read(ReadOnlySpan<byte> file, PictureWindow window, bool flip, Span<byte> planes)
        => planes.Length == 3L * window.SideY * window.SideX
            ? Reader.Read(file, window, flip, planes)
            : throw new ArgumentException($"the planes have {planes.Length} bytes; {window.SideY} x {window.SideX} pixels take three times that.", nameof(planes));
}
