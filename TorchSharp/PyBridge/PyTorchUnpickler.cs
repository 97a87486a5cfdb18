using System.Collections;
using System.IO.Compression;
using static TorchSharp.torch;

namespace TorchSharp.PyBridge;

/// <summary>Reads the zip files that <c>torch.save</c> of PyTorch 1.6 and later writes for dictionaries of tensors and plain values.</summary>
public static class PyTorchUnpickler
{
    private const int LongestPickle = 16 << 20;
    private const int DeepestNesting = 100;

    // Views may overlap, and zip entries may be compressed or lie on each other: what a file grows to in memory is bounded.
    private const long AlwaysAllowed = 256L << 20;
    private const long MostGrowth = 64;
    private const long TensorOverhead = 512;

    // A piece of a storage that fits one span whatever its element type.
    private const long ElementsAtOnce = 64L << 20;

    /// <inheritdoc cref="UnpickleStateDict(Stream, bool, bool)"/>
    /// <param name="file">The file.</param>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public static Hashtable UnpickleStateDict(string file)
    {
        using FileStream stream = File.OpenRead(file);
        return UnpickleStateDict(stream);
    }

    /// <summary>
    /// Reads a dictionary. Values are Hashtable (dict), ArrayList (list), object[] (tuple), string, long, double, bool, null and Tensor; keys are
    /// strings or longs. Tensors are contiguous CPU tensors without requires_grad in the current dispose scope; one that stands in several places is one object.
    /// A Hashtable has no order.
    /// </summary>
    /// <param name="stream">The zip file, from its first byte.</param>
    /// <param name="leaveOpen">Whether the stream stays open, also after an error.</param>
    /// <param name="skipTensorRead">Whether to leave the elements out: tensors are on the meta device then, with shape and element type only.</param>
    /// <exception cref="InvalidDataException">
    /// No such file, damaged, or with something that is refused: any global that would run code, keys or values of other kinds, sizes that do not agree.
    /// No tensor is left behind.
    /// </exception>
    public static Hashtable UnpickleStateDict(Stream stream, bool leaveOpen = false, bool skipTensorRead = false)
    {
        string name = stream is FileStream file ? file.Name : "the stream";
        try
        {
            using Stream seekable = Seekable(stream);
            using var archive = new ZipArchive(seekable, ZipArchiveMode.Read, leaveOpen: true);
            return Read(new TorchArchive(archive), Math.Max(AlwaysAllowed, seekable.Length * MostGrowth), skipTensorRead);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
        {
            throw new InvalidDataException($"{name} is no readable PyTorch zip file: {e.Message}", e);
        }
        finally
        {
            if (!leaveOpen)
            {
                stream.Dispose();
            }
        }
    }
}
