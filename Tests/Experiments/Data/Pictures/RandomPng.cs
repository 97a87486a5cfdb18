using System.Buffers.Binary;
using System.IO.Compression;
using System.IO.Hashing;
using Imta.MetaWeight.Experiments.Reports;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary>PNG files of any kind, with pixels by chance.</summary>
internal sealed class RandomPng(Random random)
{
    /// <summary>Every kind that there is: its colour type and bits of a sample.</summary>
    public static readonly (int Colour, int Bits)[] Kinds =
    [
        (0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16),
    ];

    // Where the seven passes of an interlaced picture begin and how far their pixels lie apart: x, y, across, down.
    private static readonly (int X, int Y, int Across, int Down)[] Passes =
    [
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ];

    private readonly List<byte> _file = [];
    private byte[] _palette = [];

    /// <summary>
    /// What the file's samples say, <c>[H, W, 3]</c>: the upper 8 bits, but grey of 16 cut off at 255, and no transparency, as Pillow has
    /// it.
    /// </summary>
    public byte[] Pixels { get; private set; } = [];

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
            Chunk("PLTE"u8, _palette = Bytes(3 << bits));
        }

        if (transparent && colour < 4)
        {
            Chunk(
                "tRNS"u8,
                colour == 3
                    ? Bytes(1 << bits)
                    : [.. Enumerable.Range(0, colour + 1).SelectMany(_ => (byte[])[0, (byte)random.Next(1 << Math.Min(bits, 8))])]);
        }

        Pixels = new byte[3 * width * height];
        Chunk("IDAT"u8, Packed(colour, bits, width, height, interlaced));
        Chunk("IEND"u8, []);
        return [.. _file];
    }

    private byte[] Packed(int colour, int bits, int width, int height, bool interlaced)
    {
        using var packed = new MemoryStream();
        bool filtered = random.Next(2) == 0;
        int bitsOfPixel = bits * colour switch { 2 => 3, 4 => 2, 6 => 4, _ => 1 };
        using (var zlib = new ZLibStream(packed, CompressionLevel.Fastest))
        {
            foreach ((int x, int y, int across, int down) in interlaced ? Passes : [(0, 0, 1, 1)])
            {
                int columns = (width - x + across - 1) / across, rows = (height - y + down - 1) / down;
                var above = new byte[((columns * bitsOfPixel) + 7) / 8];
                for (int row = 0; row < rows && columns > 0; row++)
                {
                    int filter = filtered ? random.Next(5) : 0; // any bytes are pixels, whatever the filter
                    byte[] bytes = Row(above.Length, isDark: bits == 16 && !filtered);
                    zlib.WriteByte((byte)filter);
                    zlib.Write(bytes);
                    Unfilter(filter, bytes, above, Math.Max(1, bitsOfPixel / 8));
                    for (int column = 0; column < columns; column++)
                    {
                        Colour(bytes, column, colour, bits).CopyTo(Pixels, 3 * ((width * (y + (row * down))) + x + (column * across)));
                    }

                    above = bytes;
                }
            }
        }

        return packed.ToArray();
    }

    private static void Unfilter(int filter, byte[] row, byte[] above, int pixel)
    {
        for (int at = 0; at < row.Length; at++)
        {
            (int left, int up, int corner) = (at < pixel ? 0 : row[at - pixel], above[at], at < pixel ? 0 : above[at - pixel]);
            row[at] += (byte)(filter switch { 1 => left, 2 => up, 3 => (left + up) / 2, 4 => Nearest(left, up, corner), _ => 0 });
        }
    }

    private static int Nearest(int left, int up, int corner)
        => new[] { left, up, corner }.MinBy(value => Math.Abs(left + up - corner - value));

    private byte[] Colour(byte[] row, int column, int colour, int bits)
    {
        if (colour == 3)
        {
            return _palette.AsSpan(3 * Sample(row, column, bits), 3).ToArray();
        }

        if (colour is 0 or 4)
        {
            int grey = Sample(row, column * (colour == 4 ? 2 : 1), bits);
            byte value = (byte)(bits < 16 ? grey * 255 / ((1 << bits) - 1) : colour == 0 ? Math.Min(grey, 255) : grey >> 8);
            return [value, value, value];
        }

        int first = column * (colour == 6 ? 4 : 3);
        return [.. Enumerable.Range(first, 3).Select(sample => (byte)(Sample(row, sample, bits) >> (bits - 8)))];
    }

    private static int Sample(byte[] row, int number, int bits) => bits switch
    {
        16 => (row[2 * number] << 8) | row[(2 * number) + 1],
        8 => row[number],
        _ => (row[number * bits / 8] >> (8 - bits - (number * bits % 8))) & ((1 << bits) - 1),
    };

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
