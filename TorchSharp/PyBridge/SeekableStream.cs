namespace TorchSharp.PyBridge;

internal static class SeekableStream
{
    /// <summary>The stream itself, or a copy of what is left of one that cannot seek: a file's length bounds what it may grow to, and zip files are read from their end.</summary>
    public static Stream Of(Stream stream)
    {
        if (stream.CanSeek)
        {
            return stream;
        }

        var copy = new MemoryStream();
        stream.CopyTo(copy);
        copy.Position = 0;
        return copy;
    }

    /// <summary>What messages call the stream.</summary>
    public static string Name(Stream stream) => stream is FileStream file ? file.Name : "the stream";
}
