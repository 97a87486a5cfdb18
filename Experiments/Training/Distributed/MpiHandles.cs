using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>
/// The values of the C macros of <c>mpi.h</c> in one binary interface. All handles fit into a pointer: an interface whose handles are C
/// integers reads the lower half of the register.
/// </summary>
internal sealed record MpiHandles
{
    /// <summary>The display name of the binary interface.</summary>
    public required string Interface { get; init; }

    public required nint World { get; init; }

    public required nint Self { get; init; }

    public required nint Float { get; init; }

    public required nint Double { get; init; }

    /// <summary>64 bits.</summary>
    public required nint LongLong { get; init; }

    public required nint Byte { get; init; }

    public required nint Sum { get; init; }

    public required nint ErrorsReturn { get; init; }

    /// <summary>MPI_IN_PLACE: the receive buffer is also the send buffer.</summary>
    public required nint InPlace { get; init; }

    /// <summary>MPI_THREAD_SERIALIZED: any thread may call, one at a time.</summary>
    public required int ThreadSerialized { get; init; }

    /// <summary>MPICH 3 and its derivatives such as Intel MPI and MVAPICH: integers, fixed since 2013 (www.mpich.org/abi).</summary>
    public static MpiHandles Mpich { get; } = new()
    {
        Interface = "MPICH",
        World = 0x44000000,
        Self = 0x44000001,
        Float = 0x4c00040a,
        Double = 0x4c00080b,
        LongLong = 0x4c000809,
        Byte = 0x4c00010d,
        Sum = 0x58000003,
        ErrorsReturn = 0x54000001,
        InPlace = -1,
        ThreadSerialized = 2,
    };

    /// <summary>The standard interface of MPI 5 (chapter 20), in <c>libmpi_abi</c>.</summary>
    public static MpiHandles Standard { get; } = new()
    {
        Interface = "MPI 5",
        World = 0x101,
        Self = 0x102,
        Float = 0x210,
        Double = 0x214,
        LongLong = 0x20b,
        Byte = 0x247,
        Sum = 0x21,
        ErrorsReturn = 0x142,
        InPlace = 1,
        ThreadSerialized = 2048,
    };

    /// <summary>The handles of a loaded library; null if it is none of the three.</summary>
    /// <param name="library">The library's handle.</param>
    /// <param name="file">Its file's name.</param>
    /// <param name="version">The result of <c>MPI_Get_library_version</c>.</param>
    public static MpiHandles? ForLibrary(nint library, string file, string version)
    {
        if (NativeLibrary.TryGetExport(library, "ompi_mpi_comm_world", out _))
        {
            return FromOpenMpi(library);
        }

        return file.Contains("mpi_abi", StringComparison.Ordinal) ? Standard
            : MpiLibrary.FamilyOf(version) == MpiFamily.Mpich ? Mpich
            : null;
    }

    /// <summary>Open MPI's handles are the addresses of its global objects.</summary>
    private static MpiHandles FromOpenMpi(nint library) => new()
    {
        Interface = "Open MPI",
        World = NativeLibrary.GetExport(library, "ompi_mpi_comm_world"),
        Self = NativeLibrary.GetExport(library, "ompi_mpi_comm_self"),
        Float = NativeLibrary.GetExport(library, "ompi_mpi_float"),
        Double = NativeLibrary.GetExport(library, "ompi_mpi_double"),
        LongLong = NativeLibrary.GetExport(library, "ompi_mpi_long_long_int"),
        Byte = NativeLibrary.GetExport(library, "ompi_mpi_byte"),
        Sum = NativeLibrary.GetExport(library, "ompi_mpi_op_sum"),
        ErrorsReturn = NativeLibrary.GetExport(library, "ompi_mpi_errors_return"),
        InPlace = 1,
        ThreadSerialized = 2,
    };
}
