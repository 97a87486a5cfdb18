using System.Security.Cryptography;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>The hash by which files are recognised.</summary>
internal static class FileHash
{
    /// <summary>The SHA-256 of a file's content, in hexadecimal.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static string Sha256(string path)
    {
        using FileStream stream = File.OpenRead(path);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }
}
