
namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>A pickle's description of a storage that tensors share; the elements are elsewhere in the file.</summary>
/// <param name="Class">The name of its class, one of <see cref="Classes"/>.</param>
/// <param name="Key">Its key in the file.</param>
/// <param name="Elements">The number of elements.</param>
internal sealed record PickledStorage(string Class, string Key, long Elements)
{
    /// <summary>PyTorch's storage classes, with the size of an element in bytes, and its type where it can be read and written.</summary>
    public static readonly (string Name, ScalarType? Type, int Size)[] Classes =
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
        ("ComplexFloatStorage", null, 8),
        ("ComplexDoubleStorage", null, 16),
        ("QInt8Storage", null, 1),
        ("QUInt8Storage", null, 1),
        ("QInt32Storage", null, 4),
        ("QUInt4x2Storage", null, 1),
        ("QUInt2x4Storage", null, 1),
        ("UntypedStorage", null, 1),
    ];

    /// <summary>The element type; null: its elements are not read.</summary>
    public ScalarType? Type { get; } = Classes.Single(known => known.Name == Class).Type;

    /// <summary>Bytes of one element.</summary>
    public int ElementSize { get; } = Classes.Single(known => known.Name == Class).Size;

    /// <summary>Bytes of all elements; does not overflow whatever the file claims.</summary>
    public Int128 Bytes => (Int128)Elements * ElementSize;
}

/// <summary>
/// A storage or, in files of early PyTorch versions, a view of one that tensors use as a storage. As a value by itself it is opaque.
/// </summary>
/// <param name="Storage">The storage.</param>
/// <param name="Start">The offset of its first element in the storage.</param>
/// <param name="Elements">The number of elements.</param>
internal sealed record PickledStorageView(PickledStorage Storage, long Start, long Elements) : TorchOpaque("torch", Storage.Class);

/// <summary>
/// A pickle's description of a tensor: a strided view of a storage, whose element <c>[i, j, …]</c> is
/// <c>storage[Offset + i·Stride[0] + j·Stride[1] + …]</c>. Views may overlap.
/// </summary>
internal sealed record PickledTensor : TorchValue
{
    // libtorch's iterators support 64; no network comes near either.
    private const int MaxDimensions = 32;

    /// <param name="part">The storage, of a type that is read.</param>
    /// <param name="offset">The index of its first element there.</param>
    /// <param name="size">The shape.</param>
    /// <param name="stride">Elements from one index of a dimension to the next.</param>
    /// <exception cref="InvalidDataException">The view exceeds its storage, or the shape is impossible.</exception>
    public PickledTensor(PickledStorageView part, long offset, long[] size, long[] stride)
    {
        if (size.Length != stride.Length || size.Length > MaxDimensions)
        {
            throw new InvalidDataException($"a tensor has {size.Length} dimensions and {stride.Length} strides");
        }

        (Storage, Type, Offset, Size, Stride) = (part.Storage, part.Storage.Type!.Value, offset, size, stride);
        if (offset < 0 || size.Any(n => n < 0) || stride.Any(n => n < 0))
        {
            throw new InvalidDataException($"{this} is not a valid tensor");
        }

        // The product of the nonzero dimensions must also fit into 64 bits: libtorch computes strides from it.
        Int128 volume = 1;
        Int128 last = offset;
        for (int d = 0; d < size.Length; d++)
        {
            volume *= Math.Max(size[d], 1);
            if (volume > long.MaxValue)
            {
                throw new InvalidDataException($"{this} has more elements than fit in memory");
            }

            last += (Int128)Math.Max(size[d] - 1, 0) * stride[d];
        }

        Elements = size.Contains(0) ? 0 : (long)volume;
        if (Elements > 0 && last >= part.Elements)
        {
            throw new InvalidDataException($"{this} exceeds its storage {FormatGuard.Quote(Storage.Key)} of {part.Elements} elements");
        }

        // An empty tensor may start anywhere.
        Offset = Elements > 0 ? part.Start + offset : 0;
    }

    public PickledStorage Storage { get; }

    public ScalarType Type { get; }

    /// <summary>Counted from the storage's first element.</summary>
    public long Offset { get; }

    public long[] Size { get; }

    public long[] Stride { get; }

    public long Elements { get; }

    /// <summary>Bytes of the tensor once copied into its own memory.</summary>
    public Int128 Bytes => (Int128)Elements * Storage.ElementSize;

    public override string ToString()
        => $"a view [{string.Join(", ", Size)}] with strides [{string.Join(", ", Stride)}] at offset {Offset}";
}
