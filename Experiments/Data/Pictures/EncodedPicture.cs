using System.Buffers;
using System.Buffers.Binary;
using System.IO.Hashing;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>What a picture's bytes tell that Skia does not, and these bytes as Skia takes them for what libjpeg and libpng read.</summary>
internal sealed class EncodedPicture : IDisposable
{
    private const int Depth = 24, ColourType = 25, HeadCheck = 29; // places in a PNG file, whose head is its first chunk
    private const int EndsRoom = 2 << 16; // of markers: enough for the longest segment

    private byte[]? _mended; // rented

    private EncodedPicture(ReadOnlyMemory<byte> bytes, PictureTraits traits) => (Bytes, Traits) = (bytes, traits);

    /// <summary>The bytes for Skia.</summary>
    public ReadOnlyMemory<byte> Bytes { get; private set; }

    /// <summary>As far as they are told here: not <see cref="PictureTraits.Rotated"/> and <see cref="PictureTraits.Damaged"/>.</summary>
    public PictureTraits Traits { get; }

    public bool IsPng => Traits.HasFlag(PictureTraits.Png);

    /// <summary>A JPEG without the marker that ends it.</summary>
    public bool IsCutOff { get; private init; }

    /// <summary>A PNG of grey of 16 bits, whose lower 8 bits Skia throws away, while Pillow cuts such grey off at 255.</summary>
    public bool IsDeepGrey { get; private init; }

    /// <inheritdoc cref="JpegMarkers.ColourWidth"/>
    public int? ColourWidth { get; private init; }

    /// <param name="file">The whole file.</param>
    /// <exception cref="InvalidDataException">It begins neither as a JPEG nor as a PNG.</exception>
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

        // libjpeg itself ends what was cut off by such markers for as long as it asks; Skia makes it wait for more.
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

    // Grey of 16 bits lies in the file as grey of 8 and transparency of 8 do: its upper bits come out as red, its lower ones as alpha.
    private static void CallGreyAndAlpha(Span<byte> png)
    {
        Span<byte> head = png[12..HeadCheck], check = png[HeadCheck..];
        uint before = Crc32.HashToUInt32(head);
        (png[Depth], png[ColourType]) = (8, 4);
        uint change = before ^ Crc32.HashToUInt32(head); // a wrong checksum stays wrong
        BinaryPrimitives.WriteUInt32BigEndian(check, BinaryPrimitives.ReadUInt32BigEndian(check) ^ change);
    }
}
