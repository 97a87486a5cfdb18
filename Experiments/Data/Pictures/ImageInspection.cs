using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>The inspection result of one image file.</summary>
/// <param name="File">Its path.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Head">Size and traits; null if it cannot be read.</param>
/// <param name="Problem">Why it cannot be read; null if it can.</param>
internal sealed record ImageInspection(string File, long Bytes, ImageHeader? Head, string? Problem)
{
    /// <summary>
    /// Half of the SHA-256 of its bytes: equal only for equal files, up to negligible collisions; null if it cannot be opened.
    /// </summary>
    public UInt128? Fingerprint { get; private init; }

    /// <summary>Decodes an image completely.</summary>
    public static ImageInspection Inspect(string file)
    {
        byte[] bytes;
        try
        {
            EnsureContent(file);
            bytes = System.IO.File.ReadAllBytes(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException)
        {
            return new ImageInspection(file, 0, null, e.Message);
        }

        UInt128 print = MemoryMarshal.Read<UInt128>(SHA256.HashData(bytes));
        try
        {
            using ImageDecoder picture = ImageDecoder.Open(bytes);
            ImageHeader head = picture.Header;
            ImageTraits traits = picture.Read(
                new ImageWindow(0, 0, head.Height, head.Width, 1, 1, 0, 0, 1, 1), flip: false, stackalloc byte[3]);
            return new ImageInspection(file, bytes.Length, head with { Traits = traits }, null) { Fingerprint = print };
        }
        catch (InvalidDataException e)
        {
            return new ImageInspection(file, bytes.Length, null, e.Message.ReplaceLineEndings(" ")) { Fingerprint = print };
        }
    }

    /// <summary>Rejects files without bytes before they are opened: opening a named pipe would wait for its writer.</summary>
    /// <exception cref="InvalidDataException">It is empty, or a pipe, a socket or a device.</exception>
    /// <exception cref="IOException">It does not exist.</exception>
    internal static void EnsureContent(string file)
    {
        if ((System.IO.File.ResolveLinkTarget(file, returnFinalTarget: true) ?? new FileInfo(file)) is FileInfo { Exists: true, Length: 0 })
        {
            throw new InvalidDataException("empty, or not a regular file");
        }
    }

    /// <summary>Inspects many images in parallel; results are in order.</summary>
    public static IEnumerable<ImageInspection> InspectAll(IEnumerable<string> files, CancellationToken stop) => files
        .AsParallel().AsOrdered().WithMergeOptions(ParallelMergeOptions.NotBuffered).WithCancellation(stop)
        .Select(Inspect);
}
