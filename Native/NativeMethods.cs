using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>The functions that <c>libimta_native</c> exports.</summary>
internal static unsafe partial class NativeMethods
{
    private const string Library = "imta_native";

    // What libtorch's libraries read when they are loaded has to stand in the process environment before; variables that are set
    // through .NET never get there.
    static NativeMethods()
    {
        ProcessDefaults.Apply();
        ProcessDefaults.UseAllCores();
    }

    [LibraryImport(Library, EntryPoint = "imta_operator_find", StringMarshalling = StringMarshalling.Utf8)]
    public static partial void* OperatorFind(string name, string overload);

    [LibraryImport(Library, EntryPoint = "imta_operator_call")]
    public static partial int OperatorCall(void* op, RawArgument* arguments, int count, nint* results, int capacity);

    [LibraryImport(Library, EntryPoint = "imta_operator_results")]
    public static partial int OperatorResults(nint* results, int count);

    [LibraryImport(Library, EntryPoint = "imta_tensor_free")]
    public static partial void TensorFree(nint tensor);

    [LibraryImport(Library, EntryPoint = "imta_tensor_live")]
    public static partial long TensorLive();

    [LibraryImport(Library, EntryPoint = "imta_tensor_from_memory")]
    public static partial nint TensorFromMemory(void* data, long bytes, long* sizes, int dimensions, int scalarType);

    [LibraryImport(Library, EntryPoint = "imta_tensor_describe")]
    public static partial int TensorDescribe(nint tensor, TensorDescription* description);

    [LibraryImport(Library, EntryPoint = "imta_tensor_sizes")]
    public static partial int TensorSizes(nint tensor, long* sizes, long* strides);

    [LibraryImport(Library, EntryPoint = "imta_tensor_data")]
    public static partial int TensorData(nint tensor, void** data);

    [LibraryImport(Library, EntryPoint = "imta_tensor_is_contiguous")]
    public static partial int TensorIsContiguous(nint tensor);

    [LibraryImport(Library, EntryPoint = "imta_tensor_item")]
    public static partial int TensorItem(nint tensor, long* integer, double* real);

    [LibraryImport(Library, EntryPoint = "imta_tensor_set_requires_grad")]
    public static partial int TensorSetRequiresGrad(nint tensor, int requiresGrad);

    [LibraryImport(Library, EntryPoint = "imta_tensor_grad")]
    public static partial int TensorGrad(nint tensor, nint* grad);

    [LibraryImport(Library, EntryPoint = "imta_tensor_set_grad")]
    public static partial int TensorSetGrad(nint tensor, nint grad);

    [LibraryImport(Library, EntryPoint = "imta_tensor_share")]
    public static partial nint TensorShare(nint tensor);

    [LibraryImport(Library, EntryPoint = "imta_autograd_grad")]
    public static partial int AutogradGrad(nint* outputs, nint* gradOutputs, int outputCount, nint* inputs, int inputCount, int retainGraph, int createGraph, int allowUnused, nint* results);

    [LibraryImport(Library, EntryPoint = "imta_autograd_backward")]
    public static partial int AutogradBackward(nint* outputs, nint* gradOutputs, int outputCount, nint* inputs, int inputCount, int retainGraph, int createGraph);

    [LibraryImport(Library, EntryPoint = "imta_grad_mode_get")]
    public static partial int GradModeGet();

    [LibraryImport(Library, EntryPoint = "imta_grad_mode_set")]
    public static partial void GradModeSet(int enabled);

    [LibraryImport(Library, EntryPoint = "imta_error")]
    public static partial nint Error();

    [LibraryImport(Library, EntryPoint = "imta_torch_version")]
    public static partial nint TorchVersion();

    [LibraryImport(Library, EntryPoint = "imta_threads_get")]
    public static partial int ThreadsGet();

    [LibraryImport(Library, EntryPoint = "imta_threads_set")]
    public static partial int ThreadsSet(int threads);

    [LibraryImport(Library, EntryPoint = "imta_cuda_devices")]
    public static partial int CudaDevices();

    [LibraryImport(Library, EntryPoint = "imta_cuda_math")]
    public static partial int SetCudaMath(int tf32);

    [LibraryImport(Library, EntryPoint = "imta_cuda_synchronize")]
    public static partial int CudaSynchronize(int device);

    [LibraryImport(Library, EntryPoint = "imta_seed_all")]
    public static partial int SeedAll(ulong seed);

    [LibraryImport(Library, EntryPoint = "imta_generator_new")]
    public static partial nint GeneratorNew(ulong seed);

    [LibraryImport(Library, EntryPoint = "imta_generator_default")]
    public static partial nint GeneratorDefault();

    [LibraryImport(Library, EntryPoint = "imta_generator_free")]
    public static partial void GeneratorFree(nint generator);

    [LibraryImport(Library, EntryPoint = "imta_generator_seed")]
    public static partial int GeneratorSeed(nint generator, ulong seed);

    [LibraryImport(Library, EntryPoint = "imta_generator_initial_seed")]
    public static partial int GeneratorInitialSeed(nint generator, ulong* seed);

    [LibraryImport(Library, EntryPoint = "imta_kernels_path_get")]
    public static partial int KernelsPathGet();

    [LibraryImport(Library, EntryPoint = "imta_kernels_path_widest")]
    public static partial int KernelsPathWidest();

    [LibraryImport(Library, EntryPoint = "imta_kernels_path_set")]
    public static partial int KernelsPathSet(int path);

    [LibraryImport(Library, EntryPoint = "imta_norm_relu_supports")]
    public static partial int NormReluSupports(nint tensor);

    [LibraryImport(Library, EntryPoint = "imta_norm_relu_forward")]
    public static partial int NormReluForward(nint z, nint weight, nint bias, double eps, nint runningMean, nint runningVar, double momentum, nint y, nint saved);

    [LibraryImport(Library, EntryPoint = "imta_norm_relu_again")]
    public static partial int NormReluAgain(nint z, nint saved, nint y);

    [LibraryImport(Library, EntryPoint = "imta_norm_relu_backward")]
    public static partial int NormReluBackward(nint g, nint z, nint weight, nint saved, nint dz, nint dWeight, nint dBias);

    [LibraryImport(Library, EntryPoint = "imta_norm_relu_tangent")]
    public static partial int NormReluTangent(nint t1, nint t2, nint z, nint dWeight, nint dBias, nint saved, nint dy);

    [LibraryImport(Library, EntryPoint = "imta_rows_add")]
    public static partial int RowsAdd(nint target, nint source);

    [LibraryImport(Library, EntryPoint = "imta_profiler_start")]
    public static partial int ProfilerStart(int wait);

    [LibraryImport(Library, EntryPoint = "imta_profiler_stop")]
    public static partial int ProfilerStop();

    [LibraryImport(Library, EntryPoint = "imta_profiler_result")]
    public static partial int ProfilerResult(int index, nint* name, long* calls, long* nanoseconds);
}
