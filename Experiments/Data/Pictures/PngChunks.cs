using System.Buffers.Binary;
using System.IO.Hashing;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>The chunks of a PNG file, whose checksums Skia does not verify after the last row.</summary>
internal static class PngChunks
{
    private const int Signature = 8; // bytes before the first chunk
    private const int Frame = 12; // around a chunk's content: its length, type and checksum

    /// <summary>Verifies every critical chunk.</summary>
    /// <exception cref="InvalidDataException">A chunk is truncated or damaged.</exception>
    public static void Check(ReadOnlySpan<byte> file)
    {
        for (int at = Signature; file.Length - at >= Frame;)
        {
            ReadOnlySpan<byte> chunk = file[at..];
            uint length = BinaryPrimitives.ReadUInt32BigEndian(chunk);
            if (length > chunk.Length - Frame)
            {
                throw new InvalidDataException("a PNG file that is truncated");
            }

            int end = (int)length + Frame - sizeof(uint);
            bool isNeeded = (chunk[4] & 0x20) == 0; // critical: the type starts with a capital letter
            if (isNeeded && Crc32.HashToUInt32(chunk[4..end]) != BinaryPrimitives.ReadUInt32BigEndian(chunk[end..]))
            {
                throw new InvalidDataException("a damaged PNG file");
            }

            at += end + sizeof(uint);
        }
    }
}
