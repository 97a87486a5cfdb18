using System.Buffers.Binary;
using System.Text;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// A copy of TorchSharp's Linux library that also loads with an older libstdc++, such as Debian 12's. TorchSharp 0.107.0's library requires
/// the version of GCC 13.2 because of one symbol that nothing in it refers to; the copy marks this requirement as weak, so that the loader
/// does not insist on it.
/// </summary>
internal static class PatchedTorchSharp
{
    /// <summary>The libstdc++ version that is required but not needed.</summary>
    public const string UnneededVersion = "GLIBCXX_3.4.32";

    // 64-bit little-endian ELF: offsets in the file header, a section header, and the version-needed tables.
    private const int SectionTable = 0x28, SectionSize = 0x3A, SectionCount = 0x3C;
    private const int SectionType = 4, SectionStart = 0x18, SectionLink = 0x28;
    private const uint NeededVersions = 0x6FFFFFFE;
    private const ushort WeakFlag = 2;

    /// <summary>The path of the copy in the user's cache; it is created if missing, and replaced if different.</summary>
    /// <param name="library">The library to copy.</param>
    /// <param name="name">The copy's file name, which includes TorchSharp's version.</param>
    /// <exception cref="IOException">The cache cannot be written.</exception>
    public static string Create(string library, string name)
    {
        byte[] copy = File.ReadAllBytes(library);
        Mark(copy);
        string folder = Folder(), path = Path.Combine(folder, name);
        try
        {
            if (!File.Exists(path) || !File.ReadAllBytes(path).AsSpan().SequenceEqual(copy))
            {
                // Processes that start simultaneously each write their own file; the last rename wins.
                Directory.CreateDirectory(folder);
                string temporary = Path.Combine(folder, $"{name}.{Environment.ProcessId}-{Guid.NewGuid():N}");
                File.WriteAllBytes(temporary, copy);
                File.Move(temporary, path, overwrite: true);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new IOException(
                $"this system's libstdc++ lacks {UnneededVersion}, and the copy of TorchSharp's library that does "
                + $"without it cannot be written to {folder} ({e.Message}): set XDG_CACHE_HOME to a folder that can be written", e);
        }

        return path;
    }

    /// <summary>Marks the version requirement in a library's bytes as weak.</summary>
    internal static void Mark(Span<byte> elf)
    {
        int table = (int)BinaryPrimitives.ReadUInt64LittleEndian(elf[SectionTable..]);
        int size = BinaryPrimitives.ReadUInt16LittleEndian(elf[SectionSize..]),
            count = BinaryPrimitives.ReadUInt16LittleEndian(elf[SectionCount..]);
        for (int k = 0; k < count; k++)
        {
            Span<byte> section = elf[(table + (k * size))..];
            if (BinaryPrimitives.ReadUInt32LittleEndian(section[SectionType..]) == NeededVersions)
            {
                Span<byte> names = elf[(table + (BinaryPrimitives.ReadInt32LittleEndian(section[SectionLink..]) * size))..];
                MarkIn(elf, Start(section), Start(names));
            }
        }
    }

    private static int Start(Span<byte> section) => (int)BinaryPrimitives.ReadUInt64LittleEndian(section[SectionStart..]);

    // A linked list of libraries, each with a linked list of versions: hash, flags, other, name, next.
    private static void MarkIn(Span<byte> elf, int library, int names)
    {
        ReadOnlySpan<byte> pattern = Encoding.ASCII.GetBytes($"{UnneededVersion}\0");
        for (int step = -1; step != 0; library += step)
        {
            int versions = BinaryPrimitives.ReadUInt16LittleEndian(elf[(library + 2)..]);
            int version = library + BinaryPrimitives.ReadInt32LittleEndian(elf[(library + 8)..]);
            step = BinaryPrimitives.ReadInt32LittleEndian(elf[(library + 12)..]);
            for (; versions > 0; versions--)
            {
                Span<byte> entry = elf[version..];
                if (elf[(names + BinaryPrimitives.ReadInt32LittleEndian(entry[8..]))..].StartsWith(pattern))
                {
                    BinaryPrimitives.WriteUInt16LittleEndian(
                        entry[4..], (ushort)(BinaryPrimitives.ReadUInt16LittleEndian(entry[4..]) | WeakFlag));
                }

                version += BinaryPrimitives.ReadInt32LittleEndian(entry[12..]);
            }
        }
    }

    private static string Folder()
    {
        string cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } given
            ? given
            : Path.Combine(Environment.GetFolderPath(
                Environment.SpecialFolder.UserProfile, Environment.SpecialFolderOption.DoNotVerify), ".cache");
        return Path.IsPathRooted(cache)
            ? Path.Combine(cache, "imta-metaweight")
            : throw new IOException(
                $"this system's libstdc++ lacks {UnneededVersion}, and there is no folder for the copy of TorchSharp's "
                + $"library that does without it: set XDG_CACHE_HOME to one (it is '{cache}')");
    }
}
