namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>One argument of an <see cref="Operator"/>, of the type that its place in the operator's schema has.</summary>
internal readonly struct Argument
{
    private Argument(ArgumentKind kind, ulong bits = 0, object? reference = null, bool isOptional = false)
        => (Kind, Bits, Reference, IsOptional) = (kind, bits, reference, isOptional);

    /// <summary>An optional argument that is left out.</summary>
    public static Argument None => default;

    public ArgumentKind Kind { get; }

    /// <summary>A value, as the interface passes it.</summary>
    public ulong Bits { get; }

    /// <summary>A <see cref="Tensor"/>, <c>long[]</c> or <c>bool[]</c>.</summary>
    public object? Reference { get; }

    /// <summary>Whether the schema's type is optional: what is there is passed by a pointer to it.</summary>
    public bool IsOptional { get; }

    /// <summary>For <c>Tensor</c>.</summary>
    public static implicit operator Argument(Tensor value) => new(ArgumentKind.Tensor, reference: value);

    /// <summary>For <c>int</c>, <c>SymInt</c>.</summary>
    public static implicit operator Argument(long value) => new(ArgumentKind.Value, (ulong)value);

    /// <summary>For <c>float</c>.</summary>
    public static implicit operator Argument(double value) => new(ArgumentKind.Value, BitConverter.DoubleToUInt64Bits(value));

    /// <summary>For <c>bool</c>.</summary>
    public static implicit operator Argument(bool value) => new(ArgumentKind.Value, value ? 1UL : 0);

    /// <summary>For <c>int[]</c>, <c>SymInt[]</c>.</summary>
    public static implicit operator Argument(long[] values) => new(ArgumentKind.Integers, reference: values);

    /// <summary>For <c>bool[]</c>.</summary>
    public static implicit operator Argument(bool[] values) => new(ArgumentKind.Flags, reference: values);

    /// <summary>For <c>Tensor?</c>.</summary>
    public static Argument Optional(Tensor? value) => value is null ? None : new(ArgumentKind.Tensor, reference: value, isOptional: true);

    /// <summary>For <c>int[]?</c>, <c>SymInt[]?</c>.</summary>
    public static Argument Optional(long[]? values)
        => values is null ? None : new(ArgumentKind.Integers, reference: values, isOptional: true);
}

/// <summary>How an <see cref="Argument"/> is passed.</summary>
internal enum ArgumentKind
{
    None,
    Value,
    Tensor,
    Integers,
    Flags,
}
