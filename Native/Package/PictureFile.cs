using System.Buffers.Binary;

namespace Imta.MetaWeight.Native;

/// <summary>What a picture's bytes tell that Skia does not, and these bytes as Skia takes them for what libjpeg and libpng read.</summary>
internal readonly ref struct PictureFile
{
    private const int Depth = 24, ColourType = 25, HeadCheck = 29; // places in a PNG file, whose head is its first chunk
    private const int MostEnds = 1 << 16; // enough for the longest segment

    private readonly ReadOnlySpan<byte> _file;

    private PictureFile(ReadOnlySpan<byte> file, PictureTraits traits, bool isCutOff, bool isDeepGrey)
    {
        _file = file;
        (Traits, IsCutOff, IsDeepGrey) = (traits, isCutOff, isDeepGrey);
    }

    public PictureTraits Traits { get; }

    public bool IsPng => Traits.HasFlag(PictureTraits.Png);

    /// <summary>A JPEG without the marker that ends it.</summary>
    public bool IsCutOff { get; }

    /// <summary>A PNG of grey of 16 bits, whose lower 8 bits Skia throws away, while Pillow cuts such grey off at 255.</summary>
    public bool IsDeepGrey { get; }

    /// <summary>By its first bytes; null: neither a JPEG nor a PNG.</summary>
    public static bool TryRead(ReadOnlySpan<byte> file, out PictureFile picture)
    {
        bool isJpeg = file is [0xFF, 0xD8, _, ..], isPng = file.StartsWith((ReadOnlySpan<byte>)[0x89, (byte)'P', (byte)'N', (byte)'G', 0x0D, 0x0A, 0x1A, 0x0A]);
        picture = isJpeg ? Jpeg(file) : isPng ? Png(file) : default;
        return isJpeg || isPng;
    }

    /// <summary>How many bytes <see cref="CopyTo"/> takes.</summary>
    public int Room => _file.Length + (IsCutOff ? 2 * MostEnds : 0);

    /// <summary>The bytes for Skia.</summary>
    public void CopyTo(Span<byte> target)
    {
        _file.CopyTo(target);
        if (IsDeepGrey)
        {
            CallGreyAndAlpha(target);
        }

        // libjpeg itself ends what was cut off by such markers, as many as it asks for; Skia makes it wait for more.
        for (int at = _file.Length; at < target.Length; at += 2)
        {
            (target[at], target[at + 1]) = (0xFF, 0xD9);
        }
    }

    private static PictureFile Png(ReadOnlySpan<byte> file)
    {
        bool isHead = file.Length >= HeadCheck + 4;
        bool isGrey = isHead && (file[ColourType] & 2) == 0;
        return new PictureFile(file, PictureTraits.Png | (isGrey ? PictureTraits.Grey : 0), isCutOff: false, isHead && file[ColourType] == 0 && file[Depth] == 16);
    }

    // Grey of 16 bits lies in the file as grey of 8 and transparency of 8 do: its upper bits come out as red, its lower ones as alpha.
    private static void CallGreyAndAlpha(Span<byte> png)
    {
        Span<byte> head = png[12..HeadCheck], check = png[HeadCheck..];
        uint before = Crc(head);
        (png[Depth], png[ColourType]) = (8, 4);
        BinaryPrimitives.WriteUInt32BigEndian(check, BinaryPrimitives.ReadUInt32BigEndian(check) ^ before ^ Crc(head)); // a wrong one stays wrong
    }

    private static uint Crc(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        foreach (byte value in bytes)
        {
            crc ^= value;
            for (int bit = 0; bit < 8; bit++)
            {
                crc = (crc >> 1) ^ ((crc & 1) * 0xEDB88320);
            }
        }

        return ~crc;
    }

    private static PictureFile Jpeg(ReadOnlySpan<byte> file)
    {
        int components = 0;
        for (int at = 2; NextMarker(file, ref at) is { } marker;)
        {
            if (marker == 0xD9)
            {
                return new PictureFile(file, Of(components), isCutOff: false, isDeepGrey: false);
            }

            ReadOnlySpan<byte> segment = file[at..];
            if (components == 0 && marker is >= 0xC0 and <= 0xCF and not (0xC4 or 0xC8 or 0xCC) && segment.Length > 7)
            {
                components = segment[7]; // behind length, precision, height and width
            }

            at += segment.Length >= 2 ? BinaryPrimitives.ReadUInt16BigEndian(segment) : segment.Length;
        }

        return new PictureFile(file, Of(components), isCutOff: true, isDeepGrey: false);

        static PictureTraits Of(int components) => components switch { 1 => PictureTraits.Grey, 4 => PictureTraits.Cmyk, _ => PictureTraits.None };
    }

    /// <summary>The next marker that begins a segment or ends the file; <paramref name="at"/> goes behind it. What else begins with 0xFF belongs to a scan's data.</summary>
    private static byte? NextMarker(ReadOnlySpan<byte> file, ref int at)
    {
        while (at < file.Length && file[at..].IndexOf((byte)0xFF) is >= 0 and int skipped && at + skipped + 1 < file.Length)
        {
            at += skipped + 1;
            byte marker = file[at];
            if (marker is not (0 or 1 or 0xFF or (>= 0xD0 and <= 0xD8)))
            {
                at++;
                return marker;
            }
        }

        return null;
    }
}
