using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>
/// libtorch's stable C interface, in the library loaded by TorchSharp. A <c>Tensor.Handle</c> is a tensor handle of this interface.
/// Functions that return an <see cref="int"/> return 0 for success; libtorch prints the reason for a failure to standard error, and there
/// is no other way to get it.
/// </summary>
internal static unsafe partial class StableAbi
{
    /// <summary>The version whose headers and operator schemas this code targets: 2.10.0, one byte each from the top.</summary>
    public const ulong Version = 0x020A_0000_0000_0000;

    private const string Library = "torch_cpu";
    private const int MinorShift = 48; // the upper bits: major and minor version

    private static bool _isChecked;

    /// <summary>Checks the version of the loaded libtorch, once.</summary>
    /// <exception cref="NotSupportedException">It is not 2.10.</exception>
    public static void EnsureVersion()
    {
        if (!_isChecked)
        {
            Check(LoadedVersion(), "the libtorch that TorchSharp has loaded");
            _isChecked = true;
        }
    }

    /// <summary>Rejects any other version, unless <see cref="TorchLibraries.VersionVariable"/> allows it.</summary>
    /// <param name="version">As reported by <see cref="aoti_torch_abi_version"/>; 0: before 2.10, which lacks the function.</param>
    /// <param name="library">The library, for the message.</param>
    /// <exception cref="NotSupportedException">It is not 2.10.</exception>
    public static void Check(ulong version, string library)
    {
        if (version >> MinorShift != Version >> MinorShift && Environment.GetEnvironmentVariable(TorchLibraries.VersionVariable) != "any")
        {
            throw new NotSupportedException(
                $"{library} is {Text(version)}, but the interface of 2.10 is required: use a libtorch "
                + $"2.10, or set {TorchLibraries.VersionVariable}=any to try this one anyway.");
        }
    }

    /// <summary>Formats a version.</summary>
    public static string Text(ulong version)
        => version == 0 ? "older than 2.10" : $"{version >> 56}.{(byte)(version >> 48)}.{(byte)(version >> 40)}";

    // Each platform supported by libtorch has a single calling convention.
    [LibraryImport(Library)]
    public static partial ulong aoti_torch_abi_version();

    /// <summary>
    /// Consumes the arguments in <paramref name="stack"/>, including ownership, and leaves the results there, owned by the caller.
    /// </summary>
    [LibraryImport(Library)]
    public static partial int torch_call_dispatcher(byte* name, byte* overload, ulong* stack, ulong version);

    [LibraryImport(Library)]
    public static partial int torch_new_list_reserve_size(nuint size, out nint list);

    [LibraryImport(Library)]
    public static partial int torch_list_push_back(nint list, ulong value);

    /// <summary>
    /// Runs <paramref name="body"/> on ranges that partition begin to end, on libtorch's threads; it must not throw.
    /// </summary>
    [LibraryImport(Library)]
    public static partial int torch_parallel_for(
        long begin, long end, long grain, delegate* unmanaged[Cdecl]<long, long, void*, void> body, void* context);

    [LibraryImport(Library)] public static partial int aoti_torch_new_tensor_handle(nint tensor, out nint other);
    [LibraryImport(Library)] public static partial int aoti_torch_delete_tensor_object(nint tensor);
    [LibraryImport(Library)] public static partial int aoti_torch_is_defined(nint tensor, out byte isDefined);
    [LibraryImport(Library)] public static partial int aoti_torch_layout_strided();
    [LibraryImport(Library)] public static partial int aoti_torch_get_layout(nint tensor, out int layout);
    [LibraryImport(Library)] public static partial int aoti_torch_get_dim(nint tensor, out long dimensions);
    [LibraryImport(Library)] public static partial int aoti_torch_get_sizes(nint tensor, out long* sizes);
    [LibraryImport(Library)] public static partial int aoti_torch_get_strides(nint tensor, out long* strides);
    [LibraryImport(Library)] public static partial int aoti_torch_get_data_ptr(nint tensor, out void* data);
    [LibraryImport(Library)] public static partial int aoti_torch_copy_(nint tensor, nint source, int isNonBlocking);
    [LibraryImport(Library)] public static partial byte aoti_torch_grad_mode_is_enabled();
    [LibraryImport(Library)] public static partial void aoti_torch_grad_mode_set_enabled(byte isEnabled);

    /// <summary>Throws if a function failed; for functions that can only fail by running out of memory.</summary>
    public static void ThrowOnFailure(int code, [CallerArgumentExpression(nameof(code))] string call = "")
    {
        if (code != 0)
        {
            throw Failure(
                $"libtorch: {call[..call.IndexOf('(', StringComparison.Ordinal)]} failed; libtorch printed the reason to standard error.");
        }
    }

#pragma warning disable CA2201 // the type that TorchSharp throws for libtorch's errors
    public static ExternalException Failure(string message) => new(message);
#pragma warning restore CA2201

    /// <summary>The version of the loaded libtorch; 0: before 2.10.</summary>
    public static ulong LoadedVersion()
    {
        try
        {
            return aoti_torch_abi_version();
        }
        catch (EntryPointNotFoundException)
        {
            return 0;
        }
    }
}
