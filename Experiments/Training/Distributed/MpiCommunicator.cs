using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>The processes started by an MPI launcher: MPI_COMM_WORLD. One instance per process.</summary>
internal sealed unsafe partial class MpiCommunicator : ICommunicator
{
    private const int ErrorLength = 512; // MPI_MAX_ERROR_STRING, the largest of all libraries
    private static readonly TimeSpan FinaliseTimeout = TimeSpan.FromSeconds(30);

    private readonly MpiHandles _handles;
    private readonly delegate* unmanaged<void*, void*, int, nint, nint, nint, nint*, int> _allReduce;
    private readonly delegate* unmanaged<void*, int, nint, int, nint, nint*, int> _broadcast;
    private readonly delegate* unmanaged<nint*, int*, void*, int> _test;
    private readonly delegate* unmanaged<nint, int, int> _abort;
    private readonly delegate* unmanaged<int> _finalize;
    private readonly delegate* unmanaged<int, byte*, int*, int> _errorText;

    /// <summary>Initialises MPI: returns once all processes have joined, and cannot be cancelled.</summary>
    /// <exception cref="UsageException">The library does not match its binary interface, or lacks thread support.</exception>
    public MpiCommunicator(MpiLibrary library)
    {
        Mpi = library;
        _handles = library.Handles;
        _allReduce = (delegate* unmanaged<void*, void*, int, nint, nint, nint, nint*, int>)library.GetFunction("MPI_Iallreduce");
        _broadcast = (delegate* unmanaged<void*, int, nint, int, nint, nint*, int>)library.GetFunction("MPI_Ibcast");
        _test = (delegate* unmanaged<nint*, int*, void*, int>)library.GetFunction("MPI_Test");
        _abort = (delegate* unmanaged<nint, int, int>)library.GetFunction("MPI_Abort");
        _finalize = (delegate* unmanaged<int>)library.GetFunction("MPI_Finalize");
        _errorText = (delegate* unmanaged<int, byte*, int*, int>)library.GetFunction("MPI_Error_string");
        Initialise();
        Rank = WorldInteger("MPI_Comm_rank");
        Size = WorldInteger("MPI_Comm_size");
        CheckSize(_handles.Float, sizeof(float));
        CheckSize(_handles.Double, sizeof(double));
        CheckSize(_handles.LongLong, sizeof(long));
        CheckSize(_handles.Byte, sizeof(byte));
    }

    public MpiLibrary Mpi { get; }

    public int Rank { get; }

    public int Size { get; }

    public ICollectiveWork AllReduceSum(Tensor tensor)
    {
        nint type = tensor.dtype switch
        {
            ScalarType.Float32 => _handles.Float,
            ScalarType.Float64 => _handles.Double,
            ScalarType.Int64 => _handles.LongLong,
            var other => throw new ArgumentException($"an all-reduce supports float32, float64 or int64, not {other}", nameof(tensor)),
        };
        var request = new Request(this);
        int count = checked((int)tensor.numel());
        Check(_allReduce((void*)_handles.InPlace, Data(tensor), count, type, _handles.Sum, _handles.World, request.Handle));
        return request;
    }

    public ICollectiveWork Broadcast(Tensor tensor, int root)
    {
        var request = new Request(this);
        int bytes = checked((int)(tensor.numel() * tensor.element_size()));
        Check(_broadcast(Data(tensor), bytes, _handles.Byte, root, _handles.World, request.Handle));
        return request;
    }

    /// <summary>All processes are at the same point, so it returns immediately; if it does not, the process ends without it.</summary>
    public void Shutdown(int exitCode)
    {
        using var watch = new Timer(_ => Exit(exitCode), null, FinaliseTimeout, Timeout.InfiniteTimeSpan);
        _ = _finalize();
    }

    /// <summary>The launcher ends the others. If it does not respond, this process ends without it.</summary>
    public void Abort(int exitCode, TimeSpan timeout)
    {
        var abort = new Thread(() => _ = _abort(_handles.World, exitCode)) { IsBackground = true };
        abort.Start();
        abort.Join(timeout);
        Exit(exitCode);
    }

    /// <summary>Terminates this process even if a thread is in a call that does not return: no .NET or MPI code runs any more.</summary>
    public static void Exit(int code)
    {
        if (OperatingSystem.IsWindows())
        {
            Environment.Exit(code);
        }

        TerminateProcess(code);
    }

    private void Initialise()
    {
        var initialise = (delegate* unmanaged<int*, byte***, int, int*, int>)Mpi.GetFunction("MPI_Init_thread");
        int provided = 0;
        Check(initialise(null, null, _handles.ThreadSerialized, &provided));
        var setHandler = (delegate* unmanaged<nint, nint, int>)Mpi.GetFunction("MPI_Comm_set_errhandler");
        Check(setHandler(_handles.World, _handles.ErrorsReturn)); // otherwise a failure aborts the process
        Check(setHandler(_handles.Self, _handles.ErrorsReturn));
        if (provided < _handles.ThreadSerialized)
        {
            throw new UsageException(
                $"{Mpi.Version} ({Mpi.Path}) was built without thread support, which .NET needs; choose another one with "
                    + $"{MpiLibrary.Variable}");
        }
    }

    private int WorldInteger(string function)
    {
        int value = 0;
        Check(((delegate* unmanaged<nint, int*, int>)Mpi.GetFunction(function))(_handles.World, &value));
        return value;
    }

    /// <summary>A handle table for the wrong library fails here at the latest, instead of giving wrong sums.</summary>
    private void CheckSize(nint type, int expected)
    {
        int size = 0;
        int result = ((delegate* unmanaged<nint, int*, int>)Mpi.GetFunction("MPI_Type_size"))(type, &size);
        if (result != 0 || size != expected)
        {
            throw new UsageException(
                $"{Mpi.Path} does not have the ABI of {_handles.Interface}: a type of {expected} bytes has {size} there; "
                + $"choose another one with {MpiLibrary.Variable}");
        }
    }

    private void Check(int result)
    {
        if (result == 0)
        {
            return;
        }

        byte* text = stackalloc byte[ErrorLength];
        int length = 0;
        bool known = _errorText(result, text, &length) == 0;
        throw new MpiException(known ? Encoding.UTF8.GetString(text, length).ReplaceLineEndings(" ").Trim() : $"error {result}");
    }

    /// <summary>Memory owned by libtorch, which does not move.</summary>
    private static byte* Data(Tensor tensor) => (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(tensor.bytes));

    [LibraryImport("libc", EntryPoint = "_exit")]
    private static partial void TerminateProcess(int code);

    /// <summary>An MPI request, in memory that does not move while MPI uses it.</summary>
    private sealed class Request(MpiCommunicator group) : ICollectiveWork
    {
        private readonly nint[] _request = GC.AllocateArray<nint>(1, pinned: true);
        private bool _done;

        public nint* Handle => (nint*)Unsafe.AsPointer(ref _request[0]);

        public bool Poll()
        {
            byte* status = stackalloc byte[64]; // larger than any MPI_Status
            int done = 1;
            if (!_done)
            {
                group.Check(group._test(Handle, &done, status));
                _done = done != 0;
            }

            return _done;
        }
    }
}
