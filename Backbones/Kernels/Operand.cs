namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>A view of a kernel operand; valid while its tensor is alive and keeps its shape.</summary>
internal readonly unsafe struct Operand
{
    private readonly long _dimensions;
    private readonly long* _sizes;
    private readonly long* _strides;
    private readonly void* _data;

    private Operand(Tensor tensor, string name)
    {
        (Name, Type) = (name, tensor.dtype);
        StableAbi.ThrowOnFailure(StableAbi.aoti_torch_get_dim(tensor.Handle, out _dimensions));
        StableAbi.ThrowOnFailure(StableAbi.aoti_torch_get_sizes(tensor.Handle, out _sizes));
        StableAbi.ThrowOnFailure(StableAbi.aoti_torch_get_strides(tensor.Handle, out _strides));
        StableAbi.ThrowOnFailure(StableAbi.aoti_torch_get_data_ptr(tensor.Handle, out _data));
        foreach (long size in Sizes)
        {
            Elements *= size;
        }
    }

    public string Name { get; }

    public ScalarType Type { get; }

    public long Channels => _sizes[1];

    public long RowCount => Elements / Channels;

    /// <summary>Whether the rows are contiguous.</summary>
    public bool IsDense => RowStride == Channels;

    private long Elements { get; } = 1;

    private ReadOnlySpan<long> Sizes => new(_sizes, (int)_dimensions);

    private int ElementBytes => Type == ScalarType.Float32 ? sizeof(float) : sizeof(double);

    /// <summary>The row stride, in elements; 0 if the channels are not adjacent or the rows are not evenly spaced.</summary>
    private long RowStride
    {
        get
        {
            long stride = 0, rows = 1; // rows: the number within one step of the dimension
            if (Channels > 1 && _strides[1] != 1)
            {
                return 0;
            }

            foreach (int d in (ReadOnlySpan<int>)[3, 2, 0])
            {
                if (d < _dimensions && _sizes[d] != 1) // a dimension of size 1 may have any stride
                {
                    stride = stride == 0 ? _strides[d] : stride;
                    if (stride < Channels || _strides[d] != rows * stride)
                    {
                        return 0;
                    }

                    rows *= _sizes[d];
                }
            }

            return stride == 0 ? Channels : stride;
        }
    }

    /// <summary>Whether a tensor can be used as a row operand.</summary>
    public static bool IsRows(Tensor? tensor)
    {
        StableAbi.EnsureVersion();
        return tensor is { IsInvalid: false } && Kind(tensor) is null && new Operand(tensor, "").Layout is null;
    }

    /// <summary>A row operand.</summary>
    public static Operand Rows(Tensor? tensor, string name)
    {
        StableAbi.EnsureVersion();
        Operand operand = Defined(tensor, name, allowed: Kind);
        return operand.Layout is { } obstacle
            ? throw Error($"{name} {obstacle} (shape {Text(operand._sizes)}, strides {Text(operand._strides)})")
            : operand;

        string Text(long* values) => Operand.Text(new(values, (int)operand._dimensions));
    }

    /// <summary>A row operand with the shape and element type of another.</summary>
    public static Operand Rows(Tensor? tensor, string name, in Operand like)
    {
        Operand operand = Rows(tensor, name);
        if (operand.Type != like.Type)
        {
            throw Error($"{name} has element type {operand.Type}, but {like.Name} has {like.Type}");
        }

        return operand.Sizes.SequenceEqual(like.Sizes)
            ? operand
            : throw Error($"{name} has the shape {Text(operand.Sizes)}, {like.Name} {Text(like.Sizes)}");
    }

    /// <summary>A row operand to write, matching the inputs and not overlapping them.</summary>
    public static Operand Written(Tensor? tensor, string name, params ReadOnlySpan<Operand> read)
    {
        Operand operand = Rows(tensor, name, read[0]);
        foreach (Operand other in read)
        {
            operand.RequireDisjoint(other);
        }

        return operand;
    }

    /// <summary>The elements of a contiguous operand of shape <paramref name="sizes"/>.</summary>
    public static T* Dense<T>(Tensor? tensor, string name, params ReadOnlySpan<long> sizes)
        where T : unmanaged
    {
        Operand operand = Defined(tensor, name, allowed: NotHere);
        if (operand.Type != (typeof(T) == typeof(float) ? ScalarType.Float32 : ScalarType.Float64))
        {
            throw Error($"{name} has element type {operand.Type}, unlike the rows");
        }

        return !operand.Sizes.SequenceEqual(sizes) ? throw Error($"{name} has the shape {Text(operand.Sizes)} instead of {Text(sizes)}")
            : !tensor!.is_contiguous() ? throw Error($"{name} is not contiguous; pass {name}.contiguous()")
            : (T*)operand._data;
    }

    /// <summary>The same as <see cref="Dense"/>; null if omitted.</summary>
    public static T* Optional<T>(Tensor? tensor, string name, params ReadOnlySpan<long> sizes)
        where T : unmanaged
        => tensor is null ? null : Dense<T>(tensor, name, sizes);

    public static ArgumentException Error(string what) => new($"invalid kernel operand: {what}.");

    /// <summary>Dispatches on the element type.</summary>
    public void ByType(Action float32, Action float64) => (Type == ScalarType.Float32 ? float32 : float64)();

    public Rows<T> As<T>()
        where T : unmanaged
        => new((T*)_data, RowStride);

    /// <summary>An operand <c>[N, C, H, W]</c>.</summary>
    public ImageSpan AsImages()
        => new((nint)_data, (nint)RowStride, _sizes[0], Channels, _sizes[2], _sizes[3]);

    /// <summary>
    /// Throws if this output overlaps an input, unless they are identical element for element; they may share rows, as
    /// slices of the channels.
    /// </summary>
    public void RequireDisjoint(in Operand read)
    {
        long stride = RowStride;
        byte* a = (byte*)_data, b = (byte*)read._data;
        if (a + Reach <= b || b + read.Reach <= a)
        {
            return;
        }

        bool areAlike = read.RowStride == stride && (b - a) % ElementBytes == 0;
        long between = areAlike ? ((((b - a) / ElementBytes) % stride) + stride) % stride : 0;
        if (!areAlike || !(a == b || (between >= Channels && stride - between >= Channels)))
        {
            throw Error($"{Name} partially overlaps {read.Name}");
        }
    }

    /// <summary>
    /// Throws if this output overlaps an input, even if they are identical; channel slices may share rows.
    /// </summary>
    public void RequireDistinct(in Operand read)
    {
        RequireDisjoint(read);
        if (_data == read._data)
        {
            throw Error($"{Name} is {read.Name}");
        }
    }

    /// <summary>Bytes from the first element to the end of the last.</summary>
    private long Reach => (((RowCount - 1) * RowStride) + Channels) * ElementBytes;

    private string? Layout => _dimensions is not (2 or 4)
        ? "is neither [N, C] nor [N, C, H, W]"
        : Elements == 0 || _data == null
            ? "has no elements"
            : RowStride == 0 ? "is not laid out as rows: contiguous channels (channels last) and a constant row stride" : null;

    private static Operand Defined(Tensor? tensor, string name, Func<Tensor, string?> allowed)
        => tensor is not { IsInvalid: false } ? throw Error($"{name} is an undefined tensor")
            : allowed(tensor) is { } obstacle ? throw Error($"{name} {obstacle} (shape {Text(tensor.shape)})") : new(tensor, name);

    private static string? Kind(Tensor tensor)
        => NotHere(tensor) ?? (tensor.dtype is ScalarType.Float32 or ScalarType.Float64 ? null : "is neither float32 nor float64");

    private static string? NotHere(Tensor tensor)
        => tensor.device_type != DeviceType.CPU || !IsStrided(tensor)
            ? "is not a dense CPU tensor"
            : tensor.is_neg() ? "is a view of negated elements" : null;

    private static bool IsStrided(Tensor tensor)
    {
        StableAbi.ThrowOnFailure(StableAbi.aoti_torch_get_layout(tensor.Handle, out int layout));
        return layout == StableAbi.aoti_torch_layout_strided();
    }

    private static string Text(ReadOnlySpan<long> values) => $"[{string.Join(", ", values.ToArray())}]";
}

/// <summary>Shapes of tensors, for code that computes many small ones.</summary>
internal static class Shapes
{
    /// <summary>
    /// The size of each dimension. TorchSharp's <c>shape</c> creates a delegate for native code at every call, which takes longer than a
    /// small convolution's multiplications.
    /// </summary>
    public static long[] Sizes(this Tensor tensor)
    {
        var sizes = new long[tensor.ndim];
        for (int d = 0; d < sizes.Length; d++)
        {
            sizes[d] = tensor.size(d);
        }

        return sizes;
    }
}
