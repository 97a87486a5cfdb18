using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// An operator of libtorch's dispatcher: works on any device and is recorded by autograd as usual. The interface checks neither the number
/// nor the types of arguments: they must match the schema exactly.
/// </summary>
/// <param name="name">Such as <c>aten::convolution_backward</c>; a schema without an overload name.</param>
/// <param name="results">The number of tensors it returns.</param>
/// <param name="optional">The indices of the arguments whose type is optional in the schema (<c>Tensor?</c>, <c>int[]?</c>), from
/// 0.</param>
internal sealed unsafe class Operator(string name, int results, params int[] optional)
{
    private static readonly byte[] NoOverload = [0];

    private readonly byte[] _name = Encoding.UTF8.GetBytes(name + '\0');

    /// <summary>Calls the operator; null among its results: an undefined tensor.</summary>
    /// <param name="arguments">
    /// <c>Tensor</c>: a <see cref="Tensor"/>; <c>int</c>, <c>SymInt</c>: a <see cref="long"/>; <c>float</c>: a <see cref="double"/>;
    /// <c>bool</c>: a <see cref="bool"/>; lists: an array of <see cref="long"/> or <see cref="bool"/>; null: an omitted optional argument.
    /// </param>
    /// <exception cref="ArgumentException">A tensor is disposed, a required argument is null, or a type is not one of these.</exception>
    /// <exception cref="ExternalException">libtorch rejected the arguments or has no such operator.</exception>
    public Tensor?[] Invoke(params ReadOnlySpan<object?> arguments)
    {
        StableAbi.EnsureVersion();
        Check(arguments); // after this, nothing can fail before libtorch owns the arguments
        ulong* stack = stackalloc ulong[Math.Max(arguments.Length, results)];
        for (int k = 0; k < arguments.Length; k++)
        {
            stack[k] = Passed(arguments[k], isOptional: optional.Contains(k));
        }

        int code;
        fixed (byte* start = _name, overload = NoOverload)
        {
            code = StableAbi.torch_call_dispatcher(start, overload, stack, StableAbi.Version);
        }

        // libtorch owns the arguments, even if the operator fails.
        return code == 0 ? Results(stack) : throw StableAbi.Failure(Failure(arguments));
    }

    private void Check(ReadOnlySpan<object?> arguments)
    {
        for (int k = 0; k < arguments.Length; k++)
        {
            string? fault = arguments[k] switch
            {
                Tensor { IsInvalid: true } => "is a disposed tensor",
                null => optional.Contains(k) ? null : "is null",
                Tensor or long or double or bool or long[] or bool[] => null,
                var other => $"is of the type {other.GetType()}",
            };
            _ = fault is null ? 0 : throw new ArgumentException($"{name}: argument {k} {fault}.");
        }
    }

    private static ulong Passed(object? argument, bool isOptional)
    {
        ulong value = argument switch
        {
            Tensor tensor => Share(tensor),
            long number => (ulong)number,
            double number => BitConverter.DoubleToUInt64Bits(number),
            bool flag => flag ? 1UL : 0,
            long[] numbers => List<long>(numbers),
            bool[] flags => List<bool>(flags),
            _ => 0,
        };
        return isOptional && argument is not null ? Cell(value) : value;
    }

    /// <summary>A second handle to the tensor.</summary>
    private static ulong Share(Tensor tensor)
    {
        StableAbi.ThrowOnFailure(StableAbi.aoti_torch_new_tensor_handle(tensor.Handle, out nint handle));
        GC.KeepAlive(tensor);
        return (ulong)handle;
    }

    private static ulong List<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        StableAbi.ThrowOnFailure(StableAbi.torch_new_list_reserve_size((nuint)values.Length, out nint list));
        foreach (T value in values)
        {
            ulong bits = sizeof(T) == sizeof(long) ? Unsafe.BitCast<T, ulong>(value) : Unsafe.BitCast<T, byte>(value);
            StableAbi.ThrowOnFailure(StableAbi.torch_list_push_back(list, bits));
        }

        return (ulong)list;
    }

    /// <summary>
    /// How a present optional value is passed. libtorch frees it with C++'s <c>delete</c>, which is <c>free</c> on the platforms
    /// that it is built for.
    /// </summary>
    private static ulong Cell(ulong value)
    {
        ulong* cell = (ulong*)NativeMemory.Alloc(sizeof(ulong));
        *cell = value;
        return (ulong)cell;
    }

    private Tensor?[] Results(ulong* stack)
    {
        var tensors = new Tensor?[results];
        for (int k = 0; k < results; k++)
        {
            nint handle = (nint)stack[k];
            StableAbi.ThrowOnFailure(StableAbi.aoti_torch_is_defined(handle, out byte isDefined));
            if (isDefined != 0)
            {
                tensors[k] = Tensor.UnsafeCreateTensor(handle);
            }
            else
            {
                StableAbi.ThrowOnFailure(StableAbi.aoti_torch_delete_tensor_object(handle));
            }
        }

        return tensors;
    }

    private string Failure(ReadOnlySpan<object?> arguments)
        => $"{name}({string.Join(", ", arguments.ToArray().Select(Describe))}) failed; libtorch printed the reason to standard error.";

    private static string Describe(object? argument) => argument switch
    {
        Tensor tensor => $"{tensor.dtype} {ShapeText(tensor)} on {tensor.device}",
        long[] values => $"[{string.Join(", ", values)}]",
        bool[] values => $"[{string.Join(", ", values)}]",
        null => "none",
        _ => string.Create(CultureInfo.InvariantCulture, $"{argument}"),
    };
}
