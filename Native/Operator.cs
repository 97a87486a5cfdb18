using System.Runtime.InteropServices;
using System.Text;

namespace Imta.MetaWeight.Native;

/// <summary>An operator of libtorch's dispatcher, found by its schema name and called by handles.</summary>
public sealed unsafe class Operator
{
    private const int DirectResults = 8;
    private readonly string _name;
    private readonly string _overload;
    private void* _handle;

    /// <summary>Names an operator; it is looked up at its first call.</summary>
    /// <param name="name">Such as <c>aten::add</c>.</param>
    /// <param name="overload">Such as <c>Tensor</c>; empty for the schema without one.</param>
    public Operator(string name, string overload = "")
    {
        _name = name;
        _overload = overload;
    }

    /// <summary>The schema name with the overload, such as <c>aten::add.Tensor</c>.</summary>
    public string Name => _overload.Length == 0 ? _name : $"{_name}.{_overload}";

    /// <summary>Calls the operator and returns its one result, a new handle that the caller frees (0: an undefined tensor).</summary>
    /// <exception cref="ExternalException">libtorch refused, or has no such operator; the message is libtorch's.</exception>
    public nint Invoke(params ReadOnlySpan<Argument> arguments)
    {
        Span<nint> results = stackalloc nint[DirectResults];
        int count = Invoke(arguments, results);
        if (count != 1)
        {
            ReleaseAll(count, results);
            throw new InvalidOperationException($"{Name} has {count} results, not one.");
        }

        return results[0];
    }

    /// <summary>Calls the operator and returns all its results, new handles that the caller frees.</summary>
    /// <exception cref="ExternalException">libtorch refused, or has no such operator; the message is libtorch's.</exception>
    public nint[] InvokeMany(params ReadOnlySpan<Argument> arguments)
    {
        Span<nint> direct = stackalloc nint[DirectResults];
        int count = Invoke(arguments, direct);
        if (count <= DirectResults)
        {
            return direct[..count].ToArray();
        }

        var results = new nint[count];
        fixed (nint* pointer = results)
        {
            Runtime.Check(NativeMethods.OperatorResults(pointer, count));
        }

        return results;
    }

    private void* Find()
    {
        void* handle = NativeMethods.OperatorFind(_name, _overload);
        return handle != null ? handle : throw Runtime.LastError();
    }

    private static void ReleaseAll(int count, ReadOnlySpan<nint> results)
    {
        foreach (nint handle in results[..Math.Min(count, results.Length)])
        {
            NativeMethods.TensorFree(handle);
        }
    }

    private int Invoke(ReadOnlySpan<Argument> arguments, Span<nint> results)
    {
        // Two threads may both look it up the first time; both get an equal answer.
        if (_handle == null)
        {
            _handle = Find();
        }

        RawArgument* raw = stackalloc RawArgument[arguments.Length];
        int words = 0;
        foreach (ref readonly Argument argument in arguments)
        {
            words += WordsOf(argument);
        }

        // Lists are short (sizes, strides, a few tensors): they are copied beside each other, which is cheaper than pinning each.
        Span<long> lists = words <= 64 ? stackalloc long[64] : new long[words];
        int count;
        fixed (long* start = lists)
        fixed (nint* pointer = results)
        {
            long* next = start;
            for (int k = 0; k < arguments.Length; k++)
            {
                raw[k] = Lay(arguments[k], ref next);
            }

            count = NativeMethods.OperatorCall(_handle, raw, arguments.Length, pointer, results.Length);
        }

        return Runtime.Check(count);
    }

    private static int WordsOf(in Argument argument) => argument.List switch
    {
        null => 0,
        string text => (Encoding.UTF8.GetByteCount(text) / sizeof(long)) + 1,
        Array list => list.Length,
        _ => 0,
    };

    private static RawArgument Lay(in Argument argument, ref long* next)
    {
        var raw = new RawArgument { Tag = (int)argument.Tag, Integer = argument.Integer, Real = argument.Real, Pointer = (void*)argument.Pointer, Count = argument.Extra };
        if (argument.List is not { } list || argument.Tag is ArgumentTag.Tensor or ArgumentTag.Generator)
        {
            return raw;
        }

        int words = WordsOf(argument);
        var target = new Span<long>(next, words);
        switch (list)
        {
            case long[] integers:
                integers.CopyTo(target);
                break;
            case double[] reals:
                MemoryMarshal.Cast<double, long>(reals).CopyTo(target);
                break;
            case nint[] handles:
                MemoryMarshal.Cast<nint, long>(handles).CopyTo(target);
                break;
            case string text:
                target.Clear();
                Encoding.UTF8.GetBytes(text, MemoryMarshal.AsBytes(target));
                break;
        }

        raw.Pointer = next;
        raw.Count = words;
        next += words;
        return raw;
    }
}
