using System.Buffers;
using System.Buffers.Binary;
using System.IO.Hashing;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>
/// Information from an image file that Skia does not report, and the bytes adapted so that Skia decodes them like libjpeg and libpng.
/// </summary>
internal sealed class EncodedImage : IDisposable
{
    private const int Depth = 24, ColourType = 25, HeadCheck = 29; // offsets in a PNG file, whose header is its first chunk
    private const int EndMarkerPadding = 2 << 16; // for markers: enough for the longest segment

    private byte[]? _repaired; // rented

    private EncodedImage(ReadOnlyMemory<byte> bytes, ImageTraits traits) => (Bytes, Traits) = (bytes, traits);

    /// <summary>The bytes for Skia.</summary>
    public ReadOnlyMemory<byte> Bytes { get; private set; }

    /// <summary>The traits known from the bytes: all but <see cref="ImageTraits.Rotated"/> and <see cref="ImageTraits.Damaged"/>.</summary>
    public ImageTraits Traits { get; }

    public bool IsPng => Traits.HasFlag(ImageTraits.Png);

    public bool IsJpeg => (Traits & (ImageTraits.Png | ImageTraits.Webp | ImageTraits.Bmp)) == 0;

    /// <summary>A JPEG without an end marker (truncated).</summary>
    public bool IsTruncated { get; private init; }

    /// <summary>A 16-bit greyscale PNG, whose lower 8 bits Skia drops, while Pillow clips values at 255.</summary>
    public bool Is16BitGrey { get; private init; }

    /// <inheritdoc cref="JpegMarkers.ChromaSampleWidth"/>
    public int? ChromaSampleWidth { get; private init; }

    /// <param name="file">The whole file.</param>
    /// <exception cref="InvalidDataException">It is in none of <see cref="ImageDecoder.Formats"/>.</exception>
    public static EncodedImage Parse(ReadOnlyMemory<byte> file)
    {
        ReadOnlySpan<byte> bytes = file.Span;
        EncodedImage picture = bytes is [0xFF, 0xD8, _, ..] ? Jpeg(file)
            : bytes.StartsWith((ReadOnlySpan<byte>)[0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A]) ? Png(file)
            : bytes.Length > 12 && bytes.StartsWith("RIFF"u8) && bytes[8..].StartsWith("WEBP"u8) ? new(file, ImageTraits.Webp)
            : bytes.StartsWith("BM"u8) ? new(file, ImageTraits.Bmp)
            : throw new InvalidDataException($"not a {ImageDecoder.Formats} file");
        picture.Repair();
        return picture;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_repaired is not null)
        {
            ArrayPool<byte>.Shared.Return(_repaired);
            _repaired = null;
        }
    }

    private void Repair()
    {
        if (!IsTruncated && !Is16BitGrey)
        {
            return;
        }

        int length = Bytes.Length, paddedLength = length + (IsTruncated ? EndMarkerPadding : 0);
        _repaired = ArrayPool<byte>.Shared.Rent(paddedLength);
        Bytes.Span.CopyTo(_repaired);
        Bytes = _repaired.AsMemory(0, paddedLength);
        if (Is16BitGrey)
        {
            RelabelAsGreyAlpha(_repaired);
        }

        // libjpeg itself inserts such end markers into truncated data; Skia makes it wait for more instead.
        for (int at = length; at < paddedLength; at += 2)
        {
            (_repaired[at], _repaired[at + 1]) = (0xFF, JpegMarkers.End);
        }
    }

    private static EncodedImage Jpeg(ReadOnlyMemory<byte> file)
    {
        JpegMarkers markers = JpegMarkers.Parse(file.Span);
        ImageTraits traits = markers.Components switch { 1 => ImageTraits.Grey, 4 => ImageTraits.Cmyk, _ => ImageTraits.None };
        return new EncodedImage(file, traits) { IsTruncated = !markers.HasEnd, ChromaSampleWidth = markers.ChromaSampleWidth };
    }

    private static EncodedImage Png(ReadOnlyMemory<byte> file)
    {
        ReadOnlySpan<byte> bytes = file.Span;
        bool isHead = bytes.Length >= HeadCheck + 4;
        bool isGrey = isHead && (bytes[ColourType] & 2) == 0;
        bool isDeepGrey = isHead && bytes[ColourType] == 0 && bytes[Depth] == 16;
        return new EncodedImage(file, ImageTraits.Png | (isGrey ? ImageTraits.Grey : 0)) { Is16BitGrey = isDeepGrey };
    }

    // 16-bit grey is stored like 8-bit grey with 8-bit alpha: its upper bits decode as red, its lower bits as alpha.
    private static void RelabelAsGreyAlpha(Span<byte> png)
    {
        Span<byte> head = png[12..HeadCheck], check = png[HeadCheck..];
        uint before = Crc32.HashToUInt32(head);
        (png[Depth], png[ColourType]) = (8, 4);
        uint change = before ^ Crc32.HashToUInt32(head); // keeps a wrong checksum wrong
        BinaryPrimitives.WriteUInt32BigEndian(check, BinaryPrimitives.ReadUInt32BigEndian(check) ^ change);
    }
}
