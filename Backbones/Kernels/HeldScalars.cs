namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Numbers for TorchSharp's operators: <c>x.mul(Held(0.5))</c>. A plain number becomes a <see cref="Scalar"/> that nothing keeps alive
/// while libtorch reads it (TorchSharp 0.107): a garbage collection may free it first, and libtorch then fails or computes with a different
/// number. Here each thread keeps its latest scalars, more than an expression uses. <c>x + y</c> and <c>x.add(y)</c> convert a number too,
/// the factor 1 of y: use <c>x.add(y, One)</c>.
/// </summary>
#if BACKBONES
public static class HeldScalars
#else
internal static class HeldScalars // in libraries that do not reference Backbones
#endif
{
    private const int Count = 32;

    [ThreadStatic]
    private static Scalar[]? _last;

    [ThreadStatic]
    private static int _next;

    /// <summary>1: the factor of <c>add</c>'s second operand, and the step of <c>arange</c>.</summary>
    public static readonly Scalar One = 1.ToScalar();

    /// <summary>A number, with the type that it has in C#.</summary>
    public static Scalar Held(double number) => Keep(number.ToScalar());

    /// <inheritdoc cref="Held(double)"/>
    public static Scalar Held(float number) => Keep(number.ToScalar());

    /// <inheritdoc cref="Held(double)"/>
    public static Scalar Held(long number) => Keep(number.ToScalar());

    /// <inheritdoc cref="Held(double)"/>
    public static Scalar Held(int number) => Keep(number.ToScalar());

    /// <inheritdoc cref="Held(double)"/>
    public static Scalar Held(bool number) => Keep(number.ToScalar());

    private static Scalar Keep(Scalar scalar)
    {
        _last ??= new Scalar[Count];
        _next = (_next + 1) % Count;
        return _last[_next] = scalar;
    }
}
