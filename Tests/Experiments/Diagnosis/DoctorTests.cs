using Imta.MetaWeight.Experiments.Diagnosis;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Diagnosis;

/// <summary>The doctor's judgement of machines other than this one.</summary>
public sealed class DoctorTests
{
    private const long Gibibyte = 1L << 30;

    private static readonly HostFacts Host = new()
    {
        Dotnet = ".NET 10.0.1 on Debian, X64",
        Processor = "AMD EPYC",
        VectorUnits = ["AVX2", "AVX-512"],
        Cores = 2,
        TotalCores = 8,
        MemoryAvailable = 8 * Gibibyte,
        RunFolder = "/home/me",
        RunFolderFree = 100 * Gibibyte,
        Variables = new Dictionary<string, string>(),
        HasNvidiaDriver = false,
        HasPythonTorch = true,
    };

    private static readonly MpiFacts Mpi = new("Open MPI 4.1.4: /usr/lib/libmpi.so.40", "/usr/bin/mpirun");

    private static readonly TorchFacts Torch = new()
    {
        Version = "2.10.0",
        CanDecodeImages = true,
        Libraries = ["/imta/libtorch/libtorch_cpu.so", "/imta/libLibTorchSharp.so"],
        Allocator = [("M_MMAP_MAX", "0")],
    };

    [Fact]
    public void A_good_machine_is_all_well()
        => Doctor.Examine(Host, Torch, Mpi).Should().OnlyContain(finding => finding.Verdict == DoctorVerdict.Ok && finding.Advice == null);

    [Fact]
    public void A_system_without_pictures_is_told()
        => Of("pictures", Torch with { CanDecodeImages = false }).Should()
            .Match<DoctorFinding>(finding => finding.Verdict == DoctorVerdict.Note && finding.Found.Contains("SkiaSharp"));

    [Fact]
    public void Which_mpi_ranks_would_use_is_said_or_how_to_get_one()
    {
        Of("MPI").Found.Should().Be("Open MPI 4.1.4: /usr/lib/libmpi.so.40, launched with /usr/bin/mpirun");
        DoctorFinding none = Of("MPI", mpi: _ => null), alone = Of("MPI", mpi: all => all with { Launcher = null }), wrong = Of(
            "MPI", mpi: _ => new("", null, "IMTA_MPI is 'x'"));

        (none.Verdict, alone.Verdict, wrong.Verdict).Should().Be((DoctorVerdict.Note, DoctorVerdict.Note, DoctorVerdict.Warning));
        none.Advice.Should().Contain("apt-get install openmpi-bin").And.Contain("IMTA_MPI=");
        alone.Found.Should().Contain("no matching mpirun was found next to it or on the PATH");
        wrong.Found.Should().Be("IMTA_MPI is 'x'");
    }

    [Fact]
    public void Which_libtorch_is_in_use_is_said()
    {
        Of("libtorch").Found.Should().Be("2.10.0, from the NuGet package: /imta/libtorch/libtorch_cpu.so");
        Of(
            "libtorch", Torch with { Libraries = ["/python/torch/lib/libtorch_cpu.so"] },
            Host with { Variables = Variables(("LIBTORCH", "/python/torch/lib")) }).Found
            .Should().Be("2.10.0, from LIBTORCH: /python/torch/lib/libtorch_cpu.so");
    }

    [Fact]
    public void OneDNN_that_was_turned_off_is_a_note()
        => Of("fused kernels", Torch with { UsesOneDnn = false }).Should()
            .Match<DoctorFinding>(finding => finding.Verdict == DoctorVerdict.Note && finding.Found.Contains("computes some incorrectly"));

    [Fact]
    public void A_copy_for_an_older_libstdcxx_is_said()
        => Of("TorchSharp", Torch with { Copy = "/cache/libLibTorchSharp-0.107.0.so" }).Should()
            .Match<DoctorFinding>(
                finding
                    => finding.Verdict == DoctorVerdict.Ok && finding.Found.Contains("libstdc++")
                        && finding.Found.EndsWith("/cache/libLibTorchSharp-0.107.0.so"));

    [Fact]
    public void What_is_missing_names_how_to_get_it()
        => Of("libtorch", Torch with { Problem = "libtorch.so: cannot open", Libraries = [] }).Should()
            .Match<DoctorFinding>(
                finding
                    => finding.Verdict == DoctorVerdict.Missing && finding.Found == "cannot be used: libtorch.so: cannot open"
                        && finding.Advice!.Contains("LIBTORCH="));

    [Theory]
    [InlineData(8.0, false, "8.0 GiB available to this process")]
    [InlineData(1.5, true, "1.5 GiB available to this process")]
    public void Little_memory_is_warned_of(double available, bool warns, string found)
    {
        DoctorFinding memory = Of("memory", host: Host with { MemoryAvailable = (long)(available * Gibibyte) });

        (memory.Verdict, memory.Found).Should().Be((warns ? DoctorVerdict.Warning : DoctorVerdict.Ok, found));
    }

    [Fact]
    public void What_this_system_does_not_tell_is_a_note()
    {
        HostFacts silent = Host with
        {
            Processor = null,
            VectorUnits = null,
            TotalCores = null,
            MemoryAvailable = null,
            RunFolderFree = null,
        };

        Doctor.Examine(silent, Torch with { Libraries = [], Allocator = [] }, Mpi).Should()
            .NotContain(finding => finding.Verdict >= DoctorVerdict.Warning);
    }

    [Fact]
    public void The_smaller_things_are_told_too()
    {
        Of("threads", host: Host with { Variables = Variables(("OMP_NUM_THREADS", "1")) }).Found.Should()
            .Be("2 by default, for 2 of 8 cores available to this process; OMP_NUM_THREADS=1");
        Of("allocator", host: Host with { Variables = Variables(("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")) }).Verdict.Should()
            .Be(DoctorVerdict.Note);
        Of("processor", host: Host with { VectorUnits = [] }).Verdict.Should().Be(DoctorVerdict.Warning);
        Of("disk", host: Host with { RunFolderFree = 1000 }).Verdict.Should().Be(DoctorVerdict.Warning);
        Of("CUDA", Torch with { CudaDevices = 2 }).Found.Should().StartWith("2 devices");
        Of("CUDA", host: Host with { HasNvidiaDriver = true }).Advice.Should().Contain("LIBTORCH=");
        Of("python3-torch", host: Host with { HasPythonTorch = false }).Verdict.Should().Be(DoctorVerdict.Note);
    }

    [Fact]
    public void The_loaders_message_is_cut_to_the_file_that_is_missing()
    {
        const string Message = "Unable to load shared library 'LibTorchSharp' or one of its dependencies. Set LD_DEBUG:\n"
            + "libtorch.so: cannot open shared object file: No such file or directory\n";

        Libtorch.Reason(new TypeInitializationException("x", new DllNotFoundException(Message)))
            .Should().Be("libtorch.so: cannot open shared object file: No such file or directory");
        Libtorch.Reason(new InvalidOperationException("two\nlines")).Should().Be("two lines");
        Libtorch.Reason(new DllNotFoundException("short")).Should().Be("short");
    }

    private static Dictionary<string, string> Variables(params (string Name, string Value)[] variables)
        => variables.ToDictionary(variable => variable.Name, variable => variable.Value);

    private static DoctorFinding Of(string check, TorchFacts? torch = null, HostFacts? host = null, Func<MpiFacts, MpiFacts?>? mpi = null)
        => Doctor.Examine(host ?? Host, torch ?? Torch, mpi is null ? Mpi : mpi(Mpi)).Single(finding => finding.Check == check);
}
