using System.Buffers.Binary;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>Information from the markers of a JPEG file: its frame, its first scan, and whether it is complete.</summary>
internal readonly record struct JpegMarkers
{
    /// <summary>The end-of-image marker, after 0xFF.</summary>
    public const byte End = 0xD9;

    private const byte Scan = 0xDA;

    /// <summary>Channels; 0 without a frame.</summary>
    public int Components { get; private init; }

    /// <summary>Whether it has an end-of-image marker.</summary>
    public bool HasEnd { get; private init; }

    /// <summary>Pixel width of a sample of the coarsest channel; null if progressive, or if the first scan lacks channels.</summary>
    public int? ChromaSampleWidth { get; private init; }

    /// <param name="file">The complete file.</param>
    public static JpegMarkers Parse(ReadOnlySpan<byte> file)
    {
        var markers = new JpegMarkers();
        bool isProgressive = false, hasScan = false;
        for (int at = 2; Next(file, ref at) is { } marker;)
        {
            if (marker == End)
            {
                return markers with { HasEnd = true };
            }

            ReadOnlySpan<byte> segment = file[at..];
            int length = Math.Min(segment.Length >= 2 ? BinaryPrimitives.ReadUInt16BigEndian(segment) : segment.Length, segment.Length);
            if (IsFrame(marker) && markers.Components == 0 && length > 7)
            {
                isProgressive = (marker & 3) == 2;
                markers = new JpegMarkers { Components = segment[7], ChromaSampleWidth = WidthOf(segment[8..length]) };
            }
            else if (marker == Scan && !hasScan && length > 2)
            {
                hasScan = true;
                bool isOther = isProgressive || segment[2] != markers.Components;
                markers = markers with { ChromaSampleWidth = isOther ? null : markers.ChromaSampleWidth };
            }

            at += length;
        }

        return markers;
    }

    private static bool IsFrame(byte marker) => marker is >= 0xC0 and <= 0xCF and not (0xC4 or 0xC8 or 0xCC);

    // For each channel: id, horizontal and vertical sampling factors, and table.
    private static int WidthOf(ReadOnlySpan<byte> channels)
    {
        int across = 1;
        for (int at = 1; at < channels.Length; at += 3)
        {
            across = Math.Max(across, channels[at] >> 4);
        }

        return across;
    }

    /// <summary>
    /// The next marker that starts a segment or ends the file; <paramref name="at"/> is advanced past it. Other 0xFF bytes belong to
    /// a scan's data.
    /// </summary>
    private static byte? Next(ReadOnlySpan<byte> file, ref int at)
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
