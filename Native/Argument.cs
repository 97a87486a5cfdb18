using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>
/// One argument of an operator call: a tagged value that the shim converts to what the operator's schema asks for. It keeps
/// the owners of handles alive, so that no finaliser frees a tensor under a running call.
/// </summary>
public readonly struct Argument
{
    private Argument(ArgumentTag tag, long integer = 0, double real = 0, nint pointer = 0, object? list = null, int extra = 0)
    {
        Tag = tag;
        Integer = integer;
        Real = real;
        Pointer = pointer;
        List = list;
        Extra = extra;
    }

    internal ArgumentTag Tag { get; }

    internal long Integer { get; }

    internal double Real { get; }

    internal nint Pointer { get; }

    /// <summary>
    /// By <see cref="Tag"/>: a list (<c>long[]</c>, <c>double[]</c>, <c>nint[]</c> or <see cref="string"/>), or the owner of a handle.
    /// </summary>
    internal object? List { get; }

    internal int Extra { get; }

    /// <summary>None: an absent optional value, or an undefined tensor.</summary>
    public static Argument None => default;

    /// <summary>The schema's default value.</summary>
    public static Argument Default => new(ArgumentTag.Default);

    /// <summary>A tensor; the null handle is an undefined tensor.</summary>
    /// <param name="handle">The tensor's handle.</param>
    /// <param name="owner">The object that frees the handle when it goes.</param>
    public static Argument Tensor(nint handle, object? owner) => handle == 0 ? None : new(ArgumentTag.Tensor, pointer: handle, list: owner);

    /// <summary>An integer, also a dtype, layout or memory format (libtorch's numbers).</summary>
    public static implicit operator Argument(long value) => new(ArgumentTag.Int, value);

    /// <summary>A real number.</summary>
    public static implicit operator Argument(double value) => new(ArgumentTag.Real, real: value);

    /// <summary>A truth value.</summary>
    public static implicit operator Argument(bool value) => new(ArgumentTag.Bool, value ? 1 : 0);

    /// <summary>A list of integers.</summary>
    public static implicit operator Argument(long[] values) => new(ArgumentTag.IntList, list: values);

    /// <summary>A list of real numbers.</summary>
    public static implicit operator Argument(double[] values) => new(ArgumentTag.RealList, list: values);

    /// <summary>A text.</summary>
    public static implicit operator Argument(string value) => new(ArgumentTag.Text, list: value);

    /// <summary>A list of truth values (each 0 or 1).</summary>
    public static Argument Bools(long[] values) => new(ArgumentTag.BoolList, list: values);

    /// <summary>A list of tensors; a null handle is an undefined (or absent) one. The caller keeps their owners alive.</summary>
    public static Argument Tensors(nint[] handles) => new(ArgumentTag.TensorList, list: handles);

    /// <summary>A device by libtorch's type number and index (−1: the current one).</summary>
    public static Argument Device(int type, int index) => new(ArgumentTag.Device, type, extra: index);

    /// <summary>A random generator.</summary>
    /// <param name="handle">The generator's handle.</param>
    /// <param name="owner">The object that frees the handle when it goes.</param>
    public static Argument Generator(nint handle, object? owner) => handle == 0 ? None : new(ArgumentTag.Generator, pointer: handle, list: owner);
}

/// <summary>What an <see cref="Argument"/> holds; the numbers are those of <c>dispatcher.cpp</c>.</summary>
internal enum ArgumentTag
{
    None,
    Tensor,
    Int,
    Real,
    Bool,
    IntList,
    TensorList,
    Text,
    Device,
    RealList,
    Generator,
    BoolList,
    Default,
}

/// <summary>The layout of <c>Argument</c> in <c>dispatcher.cpp</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct RawArgument
{
    public int Tag;
    public int Count;
    public long Integer;
    public double Real;
    public void* Pointer;
}
