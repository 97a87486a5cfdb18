using System.Buffers.Binary;
using System.IO.Compression;
using System.IO.Hashing;

namespace Imta.MetaWeight.Tests.Experiments.Pictures;

/// <summary>PNG files of any kind, with pixels by chance.</summary>
internal sealed class RandomPng(Random random)
{
    /// <summary>Every kind that there is: its colour type and bits of a sample.</summary>
    public static readonly (int Colour, int Bits)[] Kinds =
    [
        (0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16),
    ];

    // Where the seven passes of an interlaced picture begin and how far their pixels lie apart: x, y, across, down.
    private static readonly (int X, int Y, int Across, int Down)[] Passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];

    private readonly List<byte> _file = [];

    /// <summary>A whole file.</summary>
    /// <param name="colour">0 grey, 2 colours, 3 a palette, 4 grey and 6 colours with transparency.</param>
    /// <param name="bits">Of a sample.</param>
    /// <param name="width">Pixels.</param>
    /// <param name="height">Pixels.</param>
    /// <param name="interlaced">Whether it comes in passes.</param>
    /// <param name="transparent">Whether colours without transparency of their own say which are transparent.</param>
    public byte[] Write(int colour, int bits, int width, int height, bool interlaced, bool transparent)
    {
        _file.AddRange([0x89, .. "PNG\r\n\u001a\n"u8]);
        var head = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(head, width);
        BinaryPrimitives.WriteInt32BigEndian(head.AsSpan(4), height);
        (head[8], head[9], head[12]) = ((byte)bits, (byte)colour, (byte)(interlaced ? 1 : 0));
        Chunk("IHDR"u8, head);
        if (colour == 3)
        {
            Chunk("PLTE"u8, Bytes(3 << bits));
        }

        if (transparent && colour < 4)
        {
            Chunk("tRNS"u8, colour == 3 ? Bytes(1 << bits) : [.. Enumerable.Range(0, colour + 1).SelectMany(_ => (byte[])[0, (byte)random.Next(1 << Math.Min(bits, 8))])]);
        }

        Chunk("IDAT"u8, Pixels(bits * colour switch { 2 => 3, 4 => 2, 6 => 4, _ => 1 }, bits, width, height, interlaced));
        Chunk("IEND"u8, []);
        return [.. _file];
    }

    private byte[] Pixels(int bitsOfPixel, int bits, int width, int height, bool interlaced)
    {
        using var packed = new MemoryStream();
        bool filtered = random.Next(2) == 0;
        using (var zlib = new ZLibStream(packed, CompressionLevel.Fastest))
        {
            foreach ((int x, int y, int across, int down) in interlaced ? Passes : [(0, 0, 1, 1)])
            {
                int columns = (width - x + across - 1) / across, rows = (height - y + down - 1) / down;
                for (int row = 0; row < rows && columns > 0; row++)
                {
                    zlib.WriteByte((byte)(filtered ? random.Next(5) : 0)); // any bytes are pixels, whatever the filter
                    zlib.Write(Row(((columns * bitsOfPixel) + 7) / 8, isDark: bits == 16 && !filtered));
                }
            }
        }

        return packed.ToArray();
    }

    // Dark: half of the samples of 16 bits are below 256.
    private byte[] Row(int length, bool isDark)
    {
        byte[] row = Bytes(length);
        for (int at = 0; at < length && isDark; at += 2)
        {
            row[at] *= (byte)random.Next(2);
        }

        return row;
    }

    private byte[] Bytes(int count)
    {
        var bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    private void Chunk(ReadOnlySpan<byte> type, ReadOnlySpan<byte> data)
    {
        Span<byte> number = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(number, data.Length);
        _file.AddRange(number);
        byte[] body = [.. type, .. data];
        _file.AddRange(body);
        BinaryPrimitives.WriteUInt32BigEndian(number, Crc32.HashToUInt32(body));
        _file.AddRange(number);
    }
}
