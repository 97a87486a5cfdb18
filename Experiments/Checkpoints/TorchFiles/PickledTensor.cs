
namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>What a pickle says about the memory that tensors share; the elements lie elsewhere in the file.</summary>
/// <param name="Type">The element type.</param>
/// <param name="Key">The name that the file has for it.</param>
/// <param name="Elements">How many elements.</param>
internal sealed record PickledStorage(ScalarType Type, string Key, long Elements)
{
    /// <summary>The storage classes of PyTorch that can be read and written, with their element types.</summary>
    public static readonly (string Name, ScalarType Type, int Size)[] Classes =
    [
        ("BoolStorage", ScalarType.Bool, 1),
        ("ByteStorage", ScalarType.Byte, 1),
        ("CharStorage", ScalarType.Int8, 1),
        ("ShortStorage", ScalarType.Int16, 2),
        ("IntStorage", ScalarType.Int32, 4),
        ("LongStorage", ScalarType.Int64, 8),
        ("HalfStorage", ScalarType.Float16, 2),
        ("BFloat16Storage", ScalarType.BFloat16, 2),
        ("FloatStorage", ScalarType.Float32, 4),
        ("DoubleStorage", ScalarType.Float64, 8),
    ];

    /// <summary>Bytes of one element.</summary>
    public int ElementSize => Classes.Single(known => known.Type == Type).Size;

    /// <summary>Bytes of all elements; exact whatever the file claims.</summary>
    public Int128 Bytes => (Int128)Elements * ElementSize;
}

/// <summary>A storage or, in files of early PyTorch, a part of one that tensors take for a storage.</summary>
/// <param name="Storage">The storage.</param>
/// <param name="Start">The element of it where the part starts.</param>
/// <param name="Elements">How many elements it has.</param>
internal sealed record PickledPart(PickledStorage Storage, long Start, long Elements) : TorchValue;

/// <summary>
/// What a pickle says about a tensor: a strided view of a storage, whose element <c>[i, j, …]</c> is
/// <c>storage[Offset + i·Stride[0] + j·Stride[1] + …]</c>. Views may overlap.
/// </summary>
internal sealed record PickledTensor : TorchValue
{
    // libtorch's iterators take 64; no network comes near either.
    private const int MostDimensions = 32;

    /// <exception cref="InvalidDataException">The view reaches beyond its part of the storage, or no tensor can have this shape.</exception>
    public PickledTensor(PickledPart part, long offset, long[] size, long[] stride)
    {
        if (size.Length != stride.Length || size.Length > MostDimensions)
        {
            throw new InvalidDataException($"a tensor has {size.Length} dimensions and {stride.Length} strides");
        }

        (Storage, Offset, Size, Stride) = (part.Storage, offset, size, stride);
        if (offset < 0 || size.Any(n => n < 0) || stride.Any(n => n < 0))
        {
            throw new InvalidDataException($"{this} is no tensor");
        }

        // The shape without its zeros must fit 64 bits too: libtorch computes strides from it.
        Int128 volume = 1;
        Int128 last = offset;
        for (int d = 0; d < size.Length; d++)
        {
            volume *= Math.Max(size[d], 1);
            if (volume > long.MaxValue)
            {
                throw new InvalidDataException($"{this} has more elements than any memory");
            }

            last += (Int128)Math.Max(size[d] - 1, 0) * stride[d];
        }

        Elements = size.Contains(0) ? 0 : (long)volume;
        if (Elements > 0 && last >= part.Elements)
        {
            throw new InvalidDataException($"{this} reaches beyond its storage {Malformed.Quote(Storage.Key)} of {part.Elements} elements");
        }

        // Whoever has no elements may start anywhere.
        Offset = Elements > 0 ? part.Start + offset : 0;
    }

    public PickledStorage Storage { get; }

    /// <summary>Counted from the storage's first element.</summary>
    public long Offset { get; }

    public long[] Size { get; }

    public long[] Stride { get; }

    public long Elements { get; }

    /// <summary>Bytes of the tensor once it has memory of its own.</summary>
    public Int128 Bytes => (Int128)Elements * Storage.ElementSize;

    public override string ToString() => $"a view [{string.Join(", ", Size)}] with strides [{string.Join(", ", Stride)}] at offset {Offset}";
}
