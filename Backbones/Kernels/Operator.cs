using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// An operator of libtorch's dispatcher: on any device, recorded by autograd as usual. The interface checks neither the number nor the
/// types of arguments: they must be those of the schema, all of them.
/// </summary>
/// <param name="name">Such as <c>aten::convolution_backward</c>; a schema without an overload's name.</param>
/// <param name="results">How many tensors it returns.</param>
internal sealed unsafe class Operator(string name, int results)
{
    private static readonly byte[] NoOverload = [0];

    private readonly byte[] _name = Encoding.UTF8.GetBytes(name + '\0');

    /// <summary>Calls the operator; null among its results: an undefined tensor.</summary>
    /// <exception cref="ArgumentException">A tensor is disposed.</exception>
    /// <exception cref="ExternalException">libtorch refused the arguments, or has no such operator.</exception>
    public Tensor?[] Invoke(params ReadOnlySpan<Argument> arguments)
    {
        StableAbi.Demand();
        CheckTensors(arguments); // from here on nothing fails before libtorch has taken what is passed
        ulong* stack = stackalloc ulong[Math.Max(arguments.Length, results)];
        for (int k = 0; k < arguments.Length; k++)
        {
            stack[k] = Pass(arguments[k]);
        }

        int code;
        fixed (byte* start = _name, overload = NoOverload)
        {
            code = StableAbi.torch_call_dispatcher(start, overload, stack, StableAbi.Version);
        }

        // What was passed is libtorch's, in a failure of the operator too.
        return code == 0 ? Results(stack) : throw StableAbi.Failure(Failure(arguments));
    }

    private void CheckTensors(ReadOnlySpan<Argument> arguments)
    {
        for (int k = 0; k < arguments.Length; k++)
        {
            if (arguments[k].Kind != ArgumentKind.None && arguments[k].Reference is Tensor { IsInvalid: true })
            {
                throw new ArgumentException($"{name}: argument {k} is a disposed tensor.");
            }
        }
    }

    private static ulong Pass(in Argument argument)
    {
        ulong value = argument.Kind switch
        {
            ArgumentKind.Tensor => Share((Tensor)argument.Reference!),
            ArgumentKind.Integers => List<long>((long[])argument.Reference!),
            ArgumentKind.Flags => List<bool>((bool[])argument.Reference!),
            _ => argument.Bits,
        };
        return argument.IsOptional ? Cell(value) : value;
    }

    /// <summary>A second handle of the tensor.</summary>
    private static ulong Share(Tensor tensor)
    {
        StableAbi.Succeed(StableAbi.aoti_torch_new_tensor_handle(tensor.Handle, out nint handle));
        GC.KeepAlive(tensor);
        return (ulong)handle;
    }

    private static ulong List<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        StableAbi.Succeed(StableAbi.torch_new_list_reserve_size((nuint)values.Length, out nint list));
        foreach (T value in values)
        {
            ulong bits = sizeof(T) == sizeof(long) ? Unsafe.BitCast<T, ulong>(value) : Unsafe.BitCast<T, byte>(value);
            StableAbi.Succeed(StableAbi.torch_list_push_back(list, bits));
        }

        return (ulong)list;
    }

    /// <summary>libtorch frees it with C++'s <c>delete</c>, which is <c>free</c> on the platforms that it is built for.</summary>
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
            StableAbi.Succeed(StableAbi.aoti_torch_is_defined(handle, out byte isDefined));
            if (isDefined != 0)
            {
                tensors[k] = Tensor.UnsafeCreateTensor(handle);
            }
            else
            {
                StableAbi.Succeed(StableAbi.aoti_torch_delete_tensor_object(handle));
            }
        }

        return tensors;
    }

    private string Failure(ReadOnlySpan<Argument> arguments)
    {
        var text = new StringBuilder(name).Append('(');
        for (int k = 0; k < arguments.Length; k++)
        {
            _ = text.Append(k == 0 ? "" : ", ").Append(Describe(arguments[k]));
        }

        return text.Append(") failed; libtorch's reason is on standard error.").ToString();
    }

    private static string Describe(in Argument argument) => argument.Reference switch
    {
        Tensor tensor => $"{tensor.dtype} [{string.Join(", ", tensor.shape)}] on {tensor.device}",
        long[] values => $"[{string.Join(", ", values)}]",
        bool[] values => $"[{string.Join(", ", values)}]",
        _ => argument.Kind == ArgumentKind.None ? "none" : "a number",
    };
}
