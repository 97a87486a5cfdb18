using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Imta.MetaWeight.Native;

/// <summary>An operator of libtorch's dispatcher, found by its schema name and called by handles.</summary>
public sealed unsafe class Operator
{
    // What most calls need lies on the stack: results, and the words of list arguments (sizes, strides, a few tensors).
    private const int DirectResults = 8;
    private const int DirectWords = 64;

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
    /// <exception cref="InvalidOperationException">The operator has another number of results.</exception>
    public nint Invoke(params ReadOnlySpan<Argument> arguments)
    {
        nint* results = stackalloc nint[DirectResults];
        int count = Call(arguments, results);
        if (count == 1)
        {
            return results[0];
        }

        foreach (nint handle in Collect(results, count))
        {
            NativeMethods.TensorFree(handle);
        }

        throw new InvalidOperationException($"{Name} has {count} results, not one.");
    }

    /// <summary>Calls the operator and returns all its results, new handles that the caller frees.</summary>
    /// <exception cref="ExternalException">libtorch refused, or has no such operator; the message is libtorch's.</exception>
    public nint[] InvokeMany(params ReadOnlySpan<Argument> arguments)
    {
        nint* results = stackalloc nint[DirectResults];
        return Collect(results, Call(arguments, results));
    }

    private static nint[] Collect(nint* direct, int count)
    {
        var results = new nint[count];
        if (count <= DirectResults)
        {
            new ReadOnlySpan<nint>(direct, count).CopyTo(results);
            return results;
        }

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

    /// <summary>The number of results; those that <paramref name="results"/> has no place for wait for <see cref="Collect"/>.</summary>
    [SkipLocalsInit]
    private int Call(ReadOnlySpan<Argument> arguments, nint* results)
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

        // Lists are short: they are copied beside each other, which is cheaper than pinning each.
        Span<long> lists = words <= DirectWords ? stackalloc long[DirectWords] : new long[words];
        int count;
        fixed (long* start = lists)
        {
            long* next = start;
            for (int k = 0; k < arguments.Length; k++)
            {
                raw[k] = Lay(arguments[k], ref next);
            }

            count = NativeMethods.OperatorCall(_handle, raw, arguments.Length, results, DirectResults);
        }

        KeepAlive(arguments);
        return Runtime.Check(count);
    }

    /// <summary>Arguments may stand in an array that nothing else refers to; the owners of their handles live as long as it.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void KeepAlive(ReadOnlySpan<Argument> arguments) => _ = arguments;

    private static int WordsOf(in Argument argument) => argument.Tag is ArgumentTag.Tensor or ArgumentTag.Generator ? 0 : argument.List switch
    {
        null => 0,
        string text => (Encoding.UTF8.GetByteCount(text) / sizeof(long)) + 1,
        Array list => list.Length,
        _ => 0,
    };

    private static RawArgument Lay(in Argument argument, ref long* next)
    {
        var raw = new RawArgument
        {
            Tag = (int)argument.Tag,
            Count = argument.Extra,
            Integer = argument.Integer,
            Real = argument.Real,
            Pointer = (void*)argument.Pointer,
        };
        int words = WordsOf(argument);
        if (words == 0)
        {
            return raw;
        }

        var target = new Span<long>(next, words);
        raw.Pointer = next;
        raw.Count = words;
        next += words;
        switch (argument.List)
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
                raw.Count = Encoding.UTF8.GetBytes(text, MemoryMarshal.AsBytes(target));
                break;
        }

        return raw;
    }
}
