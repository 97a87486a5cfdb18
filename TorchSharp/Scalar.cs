using Imta.MetaWeight.Native;

namespace TorchSharp;

/// <summary>A number as an operator's argument: an integer, a real number or a truth value.</summary>
public sealed class Scalar : IDisposable
{
    private Scalar(Argument arg) => Arg = arg;

    internal Argument Arg { get; }

    public static implicit operator Scalar(int value) => new((long)value);

    public static implicit operator Scalar(long value) => new(value);

    public static implicit operator Scalar(float value) => new((double)value);

    public static implicit operator Scalar(double value) => new(value);

    public static implicit operator Scalar(bool value) => new(value);

    /// <summary>Nothing to free: the package's scalars are native objects, these are not.</summary>
    public void Dispose()
    {
    }
}
