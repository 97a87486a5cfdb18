namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// Numbers for TorchSharp's operators: <c>x.mul(Held(0.5))</c>. A number alone becomes a <see cref="Scalar"/> that nothing keeps alive
/// while libtorch reads it (TorchSharp 0.107): another thread's garbage collection may free it first, and libtorch fails or computes with
/// a different number. Here each thread keeps its last ones, more than an expression has. <c>x + y</c> and <c>x.add(y)</c> convert a number
/// too, the factor 1 of y: it is <c>x.add(y, One)</c> here. <c>HeldScalarsTests</c> finds what in TorchSharp does so.
/// </summary>
internal static class HeldScalars
{
    private const int Count = 32;

    [ThreadStatic]
    private static Scalar[]? _last;

    [ThreadStatic]
    private static int _next;

    /// <summary>The factor of what <c>add</c> adds, and the step of <c>arange</c>.</summary>
    public static readonly Scalar One = 1.ToScalar();

    /// <summary>A number of the type of C#'s.</summary>
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
