using System.Runtime.InteropServices;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Tests.Native;

/// <summary>What tests of <c>Native</c> share: a skip where the library is not built, and handles that are freed with the test.</summary>
public abstract class NativeTest : IDisposable
{
    private readonly List<nint> _handles = [];

    /// <summary>Skips the test where there is no library (TorchSource=package without LIBTORCH).</summary>
    protected NativeTest()
    {
        try
        {
            Runtime.Load();
        }
        catch (DllNotFoundException e)
        {
            Skip.If(true, $"libimta_native is not there: {e.Message}");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _handles.ForEach(TensorHandle.Free);
        _handles.Clear();
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees a handle at the test's end.</summary>
    protected nint Own(nint handle)
    {
        _handles.Add(handle);
        return handle;
    }

    /// <summary>A float64 vector.</summary>
    protected nint Vector(params double[] values)
        => Own(TensorHandle.FromMemory(MemoryMarshal.AsBytes<double>(values), [values.Length], (int)ScalarType.Float64, sizeof(double)));

    /// <summary>An argument for a handle of this test, which the test keeps alive.</summary>
    protected Argument Arg(nint handle) => Argument.Tensor(handle, this);

    /// <summary>The elements of a float64 tensor without gaps.</summary>
    protected static double[] Values(nint handle)
    {
        var values = new double[TensorHandle.Describe(handle).Elements];
        if (values.Length > 0)
        {
            Marshal.Copy(TensorHandle.Data(handle), values, 0, values.Length);
        }

        return values;
    }
}
