using System.Buffers;
using SkiaSharp;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>
/// An image decoded by Skia; not thread-safe. Greyscale, CMYK, palettes and transparency are converted to RGB like Pillow's
/// <c>convert("RGB")</c>. Only the part that a window needs is decoded, as far as this does not change its pixels.
/// </summary>
internal sealed unsafe class ImageDecoder : IDisposable
{
    /// <summary>What it reads, for messages.</summary>
    public const string Formats = "JPEG, PNG, WebP or BMP";

    private const int Channels = 4; // Skia's pixels: red, green, blue, and alpha, which is ignored
    private const long MaxPixels = 1L << 27; // more is not a photograph, and needs more memory than a decoder should use by default

    private readonly EncodedImage _encoded;
    private readonly MemoryHandle _bytes; // Skia reads them in place
    private readonly SKCodec _codec;

    private ImageDecoder(EncodedImage encoded)
    {
        _encoded = encoded;
        _bytes = encoded.Bytes.Pin();
        try
        {
            using SKData data = SKData.Create((nint)_bytes.Pointer, encoded.Bytes.Length);
            _codec = SKCodec.Create(data)
                ?? throw new InvalidDataException($"{Name} with a damaged header or of a kind that Skia does not support");
            (int width, int height) = (_codec.Info.Width, _codec.Info.Height);
            if ((long)width * height is <= 0 or > MaxPixels)
            {
                throw new InvalidDataException($"unsupported image size {width} x {height}");
            }

            bool isRotated = !encoded.IsPng && _codec.EncodedOrigin != SKEncodedOrigin.TopLeft;
            Header = new ImageHeader(width, height, encoded.Traits | (isRotated ? ImageTraits.Rotated : ImageTraits.None));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Whether SkiaSharp has a library for this machine.</summary>
    public static bool IsAvailable { get; } = CanLoadSkia();

    /// <summary>Size, and traits as far as the header shows them.</summary>
    public ImageHeader Header { get; }

    private string Name => _encoded.Traits switch
    {
        var traits when traits.HasFlag(ImageTraits.Png) => "a PNG file",
        var traits when traits.HasFlag(ImageTraits.Webp) => "a WebP file",
        var traits when traits.HasFlag(ImageTraits.Bmp) => "a BMP file",
        _ => "a JPEG file",
    };

    // No colour space, so no conversion. Not premultiplied, so colours of transparent pixels are kept.
    private SKImageInfo Info => new(Header.Width, Header.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul);

    /// <summary>Reads the header.</summary>
    /// <param name="file">The whole file; it must not change until the image is disposed.</param>
    /// <exception cref="InvalidDataException">It is in none of <see cref="Formats"/>, its header is damaged, or it is unreasonably
    /// large.</exception>
    public static ImageDecoder Open(ReadOnlyMemory<byte> file) => new(EncodedImage.Parse(file));

    /// <summary>The pixels of a window, resampled like Pillow: bilinear with antialiasing.</summary>
    /// <param name="window">Which pixels.</param>
    /// <param name="flip">Whether to flip horizontally.</param>
    /// <param name="planes">Receives red, green and blue, <c>[3, SideY, SideX]</c>.</param>
    /// <returns>Traits of the file.</returns>
    /// <exception cref="ArgumentException">The planes have the wrong size.</exception>
    /// <exception cref="InvalidDataException">The pixels cannot be decoded, or the window is not within the image.</exception>
    public ImageTraits Read(ImageWindow window, bool flip, Span<byte> planes)
    {
        if (planes.Length != 3L * window.SideY * window.SideX)
        {
            string why = $"the planes have {planes.Length} bytes; {window.SideY} x {window.SideX} pixels need three times that.";
            throw new ArgumentException(why, nameof(planes));
        }

        if (!window.IsWithin(Header.Width, Header.Height))
        {
            throw new InvalidDataException("the window exceeds the image");
        }

        var resampling = new Resampling(window);
        SKRectI part = DecodeRegion(resampling.Needed);
        int stride = Channels * part.Width;
        byte[] pixels = ArrayPool<byte>.Shared.Rent(stride * part.Height);
        try
        {
            ImageTraits damage = Decode(part, pixels);
            int start = (stride * (resampling.Needed.Top - part.Top)) + (Channels * (resampling.Needed.Left - part.Left));
            resampling.Run(pixels.AsSpan(start), stride, flip, planes);
            return Header.Traits | damage;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(pixels);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _codec?.Dispose();
        _bytes.Dispose();
        _encoded.Dispose();
    }

    /// <summary>
    /// The region to decode for some pixels. JPEG chroma is interpolated between neighbours, so a margin of one sample is added at each
    /// side; libjpeg itself handles those above and below. With several scans some may be missing, and then whole blocks are smoothed: such
    /// an image is decoded completely. A PNG is decoded to its end, where rows may be missing.
    /// </summary>
    private SKRectI DecodeRegion(SKRectI needed) => _encoded switch
    {
        { IsPng: true } => new SKRectI(needed.Left, needed.Top, needed.Right, Header.Height),
        { ChromaSampleWidth: { } margin } => new SKRectI(
            Math.Max(needed.Left - margin, 0), needed.Top, Math.Min(needed.Right + margin, Header.Width), needed.Bottom),
        _ => new SKRectI(0, 0, Header.Width, Header.Height),
    };

    private ImageTraits Decode(SKRectI part, byte[] pixels)
    {
        fixed (byte* target = pixels)
        {
            if (_encoded.IsPng)
            {
                PngChunks.Check(_encoded.Bytes.Span);
                DecodePng(part, (nint)target);
                if (_encoded.Is16BitGrey)
                {
                    ClampTo8Bit(pixels.AsSpan(0, Channels * part.Width * part.Height));
                }

                return ImageTraits.None;
            }

            if (!_encoded.IsJpeg)
            {
                ThrowOnError(_codec.GetPixels(Info, (nint)target));
                return ImageTraits.None;
            }

            return DecodeJpeg(part, (nint)target) && !_encoded.IsTruncated ? ImageTraits.None : ImageTraits.Damaged;
        }
    }

    private void DecodePng(SKRectI part, nint target)
    {
        ThrowOnError(_codec.StartIncrementalDecode(Info, target, Channels * part.Width, new SKCodecOptions(part)));
        ThrowOnError(_codec.IncrementalDecode());
    }

    /// <returns>Whether Skia reached the end of the region.</returns>
    private bool DecodeJpeg(SKRectI part, nint target)
    {
        ThrowOnError(_codec.StartScanlineDecode(Info, new SKCodecOptions(new SKRectI(part.Left, 0, part.Right, Header.Height))));
        bool isThere = part.Top == 0 || _codec.SkipScanlines(part.Top);
        return _codec.GetScanlines(target, part.Height, Channels * part.Width) == part.Height && isThere;
    }

    private void ThrowOnError(SKCodecResult result)
    {
        if (result != SKCodecResult.Success)
        {
            string why = result == SKCodecResult.IncompleteInput ? "that is truncated" : $"that Skia cannot decode ({result})";
            throw new InvalidDataException($"{Name} {why}");
        }
    }

    // For 16-bit grey, the upper 8 bits are red, the lower 8 alpha.
    private static void ClampTo8Bit(Span<byte> pixels)
    {
        for (int at = 0; at < pixels.Length; at += Channels)
        {
            pixels.Slice(at, 3).Fill(pixels[at] == 0 ? pixels[at + 3] : byte.MaxValue);
        }
    }

    private static bool CanLoadSkia()
    {
        try
        {
            using SKData data = SKData.Create(1);
            return data is not null;
        }
        catch (Exception e) when (e is TypeInitializationException or TypeLoadException or BadImageFormatException)
        {
            return false; // no native SkiaSharp library for this machine
        }
    }
}
