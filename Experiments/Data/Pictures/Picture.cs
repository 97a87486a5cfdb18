using System.Buffers;
using SkiaSharp;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>
/// A JPEG or PNG file, read by Skia, on any one thread. Grey, CMYK, palettes and transparency become red, green and blue as Pillow's
/// <c>convert("RGB")</c> has it. Only what a window takes is decoded, as far as the pixels stay those of the whole picture.
/// </summary>
internal sealed unsafe class Picture : IDisposable
{
    private const int Channels = 4; // Skia's pixels: red, green, blue, and alpha, which nobody reads
    private const long MostPixels = 1L << 27; // beyond: no photograph, and more memory than a decoder should take unasked

    private readonly EncodedPicture _encoded;
    private readonly MemoryHandle _bytes; // Skia reads them where they are
    private readonly SKCodec _codec;

    private Picture(EncodedPicture encoded)
    {
        _encoded = encoded;
        _bytes = encoded.Bytes.Pin();
        try
        {
            using SKData data = SKData.Create((nint)_bytes.Pointer, encoded.Bytes.Length);
            _codec = SKCodec.Create(data)
                ?? throw new InvalidDataException($"{Name} whose head is damaged, or of a kind that Skia does not read");
            (int width, int height) = (_codec.Info.Width, _codec.Info.Height);
            if ((long)width * height is <= 0 or > MostPixels)
            {
                throw new InvalidDataException($"a picture of {width} x {height} pixels");
            }

            bool isRotated = !encoded.IsPng && _codec.EncodedOrigin != SKEncodedOrigin.TopLeft;
            Head = new PictureHead(width, height, encoded.Traits | (isRotated ? PictureTraits.Rotated : PictureTraits.None));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Whether SkiaSharp has a library for this machine.</summary>
    public static bool IsAvailable { get; } = Loads();

    /// <summary>Size, and traits as far as the file's head shows them.</summary>
    public PictureHead Head { get; }

    private string Name => _encoded.IsPng ? "a PNG file" : "a JPEG file";

    // Of no colour space: none is converted to. Not premultiplied: colours stay what they are where they cannot be seen.
    private SKImageInfo Info => new(Head.Width, Head.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul);

    /// <summary>Reads the head.</summary>
    /// <param name="file">The whole file; it stays as it is until the picture is disposed.</param>
    /// <exception cref="InvalidDataException">It is neither a JPEG nor a PNG file, its head is damaged, or it is larger than photographs are.</exception>
    public static Picture Open(ReadOnlyMemory<byte> file) => new(EncodedPicture.Of(file));

    /// <summary>The pixels of a window, resampled as Pillow does it: bilinear, over a support that grows with the reduction.</summary>
    /// <param name="window">Which pixels.</param>
    /// <param name="flip">Whether left and right change places.</param>
    /// <param name="planes">Takes red, green and blue, <c>[3, SideY, SideX]</c>.</param>
    /// <returns>What is special about the file.</returns>
    /// <exception cref="ArgumentException">The planes are of another size.</exception>
    /// <exception cref="InvalidDataException">The pixels cannot be decoded, or the window is not within the picture.</exception>
    public PictureTraits Read(PictureWindow window, bool flip, Span<byte> planes)
    {
        if (planes.Length != 3L * window.SideY * window.SideX)
        {
            string why = $"the planes have {planes.Length} bytes; {window.SideY} x {window.SideX} pixels take three times that.";
            throw new ArgumentException(why, nameof(planes));
        }

        if (!window.IsWithin(Head.Width, Head.Height))
        {
            throw new InvalidDataException("a window that is not within its picture");
        }

        var resampling = new Resampling(window);
        SKRectI part = Around(resampling.Needed);
        int stride = Channels * part.Width;
        byte[] pixels = ArrayPool<byte>.Shared.Rent(stride * part.Height);
        try
        {
            PictureTraits damage = Decode(part, pixels);
            int start = (stride * (resampling.Needed.Top - part.Top)) + (Channels * (resampling.Needed.Left - part.Left));
            resampling.Run(pixels.AsSpan(start), stride, flip, planes);
            return Head.Traits | damage;
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
    /// What is decoded for some pixels. A JPEG's colours are smoothed between neighbours, so one more is taken at each side; libjpeg
    /// itself sees to those above and below. Of several scans some may be missing, and then whole blocks are smoothed: such a picture is
    /// decoded whole. A PNG is unpacked to its end, where rows may be missing.
    /// </summary>
    private SKRectI Around(SKRectI needed) => _encoded switch
    {
        { IsPng: true } => new SKRectI(needed.Left, needed.Top, needed.Right, Head.Height),
        { ColourWidth: { } margin } => new SKRectI(
            Math.Max(needed.Left - margin, 0), needed.Top, Math.Min(needed.Right + margin, Head.Width), needed.Bottom),
        _ => new SKRectI(0, 0, Head.Width, Head.Height),
    };

    private PictureTraits Decode(SKRectI part, byte[] pixels)
    {
        fixed (byte* target = pixels)
        {
            if (_encoded.IsPng)
            {
                PngChunks.Check(_encoded.Bytes.Span);
                DecodePng(part, (nint)target);
                if (_encoded.IsDeepGrey)
                {
                    CutOff(pixels.AsSpan(0, Channels * part.Width * part.Height));
                }

                return PictureTraits.None;
            }

            return DecodeJpeg(part, (nint)target) && !_encoded.IsCutOff ? PictureTraits.None : PictureTraits.Damaged;
        }
    }

    private void DecodePng(SKRectI part, nint target)
    {
        Demand(_codec.StartIncrementalDecode(Info, target, Channels * part.Width, new SKCodecOptions(part)));
        Demand(_codec.IncrementalDecode());
    }

    /// <returns>Whether Skia came to the part's end.</returns>
    private bool DecodeJpeg(SKRectI part, nint target)
    {
        Demand(_codec.StartScanlineDecode(Info, new SKCodecOptions(new SKRectI(part.Left, 0, part.Right, Head.Height))));
        bool isThere = part.Top == 0 || _codec.SkipScanlines(part.Top);
        return _codec.GetScanlines(target, part.Height, Channels * part.Width) == part.Height && isThere;
    }

    private void Demand(SKCodecResult result)
    {
        if (result != SKCodecResult.Success)
        {
            string why = result == SKCodecResult.IncompleteInput ? "that ends too early" : $"that Skia cannot decode ({result})";
            throw new InvalidDataException($"{Name} {why}");
        }
    }

    // Of grey of 16 bits the upper 8 are red, the lower ones alpha.
    private static void CutOff(Span<byte> pixels)
    {
        for (int at = 0; at < pixels.Length; at += Channels)
        {
            pixels.Slice(at, 3).Fill(pixels[at] == 0 ? pixels[at + 3] : byte.MaxValue);
        }
    }

    private static bool Loads()
    {
        try
        {
            using SKData data = SKData.Create(1);
            return data is not null;
        }
        catch (Exception e) when (e is TypeInitializationException or TypeLoadException or BadImageFormatException)
        {
            return false; // a machine that SkiaSharp has no library for
        }
    }
}
