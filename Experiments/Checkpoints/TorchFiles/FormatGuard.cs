namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>How readers reject a malformed file.</summary>
internal static class FormatGuard
{
    /// <summary>The message for a file that ends too early.</summary>
    public const string Incomplete = "the file is incomplete: copy or download it again";

    /// <summary>Text from a file, sanitised for a message.</summary>
    public static string Quote(string text)
    {
        string printable = string.Concat(text.Take(80).Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c));
        return $"'{printable}{(text.Length > 80 ? "…" : "")}'";
    }

    /// <summary>The name of a stream in messages.</summary>
    public static string Name(Stream stream) => stream is FileStream file ? file.Name : "the stream";

    /// <exception cref="InvalidDataException">The condition does not hold.</exception>
    public static void Require(bool condition, string otherwise)
    {
        if (!condition)
        {
            throw new InvalidDataException(otherwise);
        }
    }
}
