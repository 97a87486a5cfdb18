namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>A value of a PyTorch file. The types in this folder are exhaustive; plain values have value equality.</summary>
internal abstract record TorchValue
{
    /// <summary>The values of a container, in order; empty otherwise.</summary>
    public virtual IEnumerable<TorchValue> Parts => [];

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

internal sealed record TorchTensor(Tensor Value) : TorchValue;

internal sealed record TorchTuple(TorchValue[] Items) : TorchValue
{
    public override IEnumerable<TorchValue> Parts => Items;
}

internal sealed record TorchList(List<TorchValue> Items) : TorchValue
{
    public override IEnumerable<TorchValue> Parts => Items;
}
