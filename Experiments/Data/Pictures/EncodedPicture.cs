using System.Buffers;
using System.Buffers.Binary;
using System.IO.Hashing;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>Information from an image file that Skia does not report, and the bytes adapted so that Skia decodes them like libjpeg and libpng.</summary>
internal sealed class EncodedPicture : IDisposable
{
    private const int Depth = 24, ColourType = 25, HeadCheck = 29; // offsets in a PNG file, whose header is its first chunk
    private const int EndsRoom = 2 << 16; // for markers: enough for the longest segment

    private byte[]? _mended; // rented

    private EncodedPicture(ReadOnlyMemory<byte> bytes, PictureTraits traits) => (Bytes, Traits) = (bytes, traits);

    /// <summary>The bytes for Skia.</summary>
    public ReadOnlyMemory<byte> Bytes { get; private set; }

    /// <summary>The traits known from the bytes: not <see cref="PictureTraits.Rotated"/> and <see cref="PictureTraits.Damaged"/>.</summary>
    public PictureTraits Traits { get; }

    public bool IsPng => Traits.HasFlag(PictureTraits.Png);

    /// <summary>A JPEG without an end marker (truncated).</summary>
    public bool IsCutOff { get; private init; }

    /// <summary>A 16-bit greyscale PNG, whose lower 8 bits Skia drops, while Pillow clips values at 255.</summary>
    public bool IsDeepGrey { get; private init; }

    /// <inheritdoc cref="JpegMarkers.ColourWidth"/>
    public int? ColourWidth { get; private init; }

    /// <param name="file">The whole file.</param>
    /// <exception cref="InvalidDataException">It is neither a JPEG nor a PNG.</exception>
    public static EncodedPicture Of(ReadOnlyMemory<byte> file)
    {
        ReadOnlySpan<byte> bytes = file.Span;
        EncodedPicture picture = bytes is [0xFF, 0xD8, _, ..] ? Jpeg(file)
            : bytes.StartsWith((ReadOnlySpan<byte>)[0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A]) ? Png(file)
            : throw new InvalidDataException("neither a JPEG nor a PNG file");
        picture.Mend();
        return picture;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_mended is not null)
        {
            ArrayPool<byte>.Shared.Return(_mended);
            _mended = null;
        }
    }

    private void Mend()
    {
        if (!IsCutOff && !IsDeepGrey)
        {
            return;
        }

        int length = Bytes.Length, room = length + (IsCutOff ? EndsRoom : 0);
        _mended = ArrayPool<byte>.Shared.Rent(room);
        Bytes.Span.CopyTo(_mended);
        Bytes = _mended.AsMemory(0, room);
        if (IsDeepGrey)
        {
            CallGreyAndAlpha(_mended);
        }

        // libjpeg itself inserts such end markers into truncated data; Skia makes it wait for more instead.
        for (int at = length; at < room; at += 2)
        {
            (_mended[at], _mended[at + 1]) = (0xFF, JpegMarkers.End);
        }
    }

    private static EncodedPicture Jpeg(ReadOnlyMemory<byte> file)
    {
        JpegMarkers markers = JpegMarkers.Of(file.Span);
        PictureTraits traits = markers.Components switch { 1 => PictureTraits.Grey, 4 => PictureTraits.Cmyk, _ => PictureTraits.None };
        return new EncodedPicture(file, traits) { IsCutOff = !markers.HasEnd, ColourWidth = markers.ColourWidth };
    }

    private static EncodedPicture Png(ReadOnlyMemory<byte> file)
    {
        ReadOnlySpan<byte> bytes = file.Span;
        bool isHead = bytes.Length >= HeadCheck + 4;
        bool isGrey = isHead && (bytes[ColourType] & 2) == 0;
        bool isDeepGrey = isHead && bytes[ColourType] == 0 && bytes[Depth] == 16;
        return new EncodedPicture(file, PictureTraits.Png | (isGrey ? PictureTraits.Grey : 0)) { IsDeepGrey = isDeepGrey };
    }

    // 16-bit grey is stored like 8-bit grey with 8-bit alpha: its upper bits decode as red, its lower bits as alpha.
    private static void CallGreyAndAlpha(Span<byte> png)
    {
        Span<byte> head = png[12..HeadCheck], check = png[HeadCheck..];
        uint before = Crc32.HashToUInt32(head);
        (png[Depth], png[ColourType]) = (8, 4);
        uint change = before ^ Crc32.HashToUInt32(head); // keeps a wrong checksum wrong
        BinaryPrimitives.WriteUInt32BigEndian(check, BinaryPrimitives.ReadUInt32BigEndian(check) ^ change);
    }
}
