namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// A value of a PyTorch file: of a type in this file, or a <see cref="TorchDictionary"/>. Plain values have value equality.
/// </summary>
internal abstract record TorchValue
{
    /// <summary>The values of a container, in order; empty otherwise.</summary>
    public virtual IEnumerable<TorchValue> Parts => [];

    /// <summary>An opaque value in it, or itself; null: there is none.</summary>
    public TorchOpaque? FindOpaque()
        => this as TorchOpaque ?? Parts.Select(part => part.FindOpaque()).FirstOrDefault(found => found is not null);

    public static implicit operator TorchValue(Tensor tensor) => new TorchTensor(tensor);

    public static implicit operator TorchValue(string text) => new TorchString(text);

    public static implicit operator TorchValue(long number) => new TorchInteger(number);

    public static implicit operator TorchValue(double number) => new TorchFloat(number);

    public static implicit operator TorchValue(bool truth) => new TorchBool(truth);
}

/// <summary>Python's <c>None</c>.</summary>
internal sealed record TorchNone : TorchValue
{
    public static readonly TorchNone Value = new();
}

internal sealed record TorchBool(bool Value) : TorchValue;

internal sealed record TorchInteger(long Value) : TorchValue;

internal sealed record TorchFloat(double Value) : TorchValue;

internal sealed record TorchString(string Value) : TorchValue;

/// <summary>
/// A Python object of another kind, or the class or function that would make it: only that name is known.
/// </summary>
internal record TorchOpaque(string Module, string Name) : TorchValue
{
    /// <summary>Says that a value of another type is needed in its place, and what to do.</summary>
    /// <param name="expected">The type, as messages call it.</param>
    public virtual string Instead(string expected) => Module == "safetensors"
        ? $"a tensor of type {Name}, which is not supported; convert it to a type such as F32 or I64"
        : $"the Python object {this}, which is not supported; in Python, "
            + (expected == "dictionary" ? "save its state_dict() instead" : $"turn it into a plain {expected} and save the file again");

    public sealed override string ToString()
        => FormatGuard.Quote(Module is "builtins" or "__builtin__" ? Name : $"{Module}.{Name}");
}

/// <summary>A tensor that repeats few elements so often that it is not read.</summary>
internal sealed record TorchExpanded(Int128 Bytes) : TorchOpaque("torch", "Tensor")
{
    public override string Instead(string expected)
        => $"a tensor expanded to {Bytes} bytes, which is too large for a file of this size; in Python, save what it was expanded from";
}

internal sealed record TorchTensor(Tensor Value) : TorchValue;

internal sealed record TorchTuple(TorchValue[] Items) : TorchValue
{
    public override IEnumerable<TorchValue> Parts => Items;
}

internal sealed record TorchList(List<TorchValue> Items) : TorchValue
{
    public override IEnumerable<TorchValue> Parts => Items;
}
