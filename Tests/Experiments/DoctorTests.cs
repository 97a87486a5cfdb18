using Imta.MetaWeight.Experiments.Diagnosis;

namespace Imta.MetaWeight.Tests.Experiments;

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
        CoresOfMachine = 8,
        MemoryAvailable = 8 * Gibibyte,
        RunFolder = "/home/me",
        RunFolderFree = 100 * Gibibyte,
        Variables = new Dictionary<string, string>(),
        HasNvidiaDriver = false,
        HasPythonTorch = true,
        Mpi = new MpiFacts("Open MPI 4.1.4: /usr/lib/libmpi.so.40", "/usr/bin/mpirun"),
    };

    private static readonly TorchFacts Torch = new()
    {
        IsPackage = false,
        NativePath = "/imta/libimta_native.so",
        NativeExists = true,
        Version = "1.13.0",
        Kernels = VectorPath.Avx512,
        ReadsPictures = true,
        Libraries =
        [
            "/imta/libimta_native.so", "/usr/lib/x86_64-linux-gnu/libtorch_cpu.so.1.13.0",
            "/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", "/usr/lib/x86_64-linux-gnu/openblas-pthread/libopenblasp-r0.3.21.so",
        ],
        Settings = [("OPENBLAS_NUM_THREADS", "1"), ("M_MMAP_MAX", "0")],
    };

    [Fact]
    public void A_good_machine_is_all_well() => Doctor.Examine(Host, Torch).Should().OnlyContain(finding => finding.Verdict == Verdict.Ok && finding.Advice == null);

    [Fact]
    public void A_machine_without_pictures_says_why()
    {
        Finding pictures = Of("pictures", Torch with { ReadsPictures = false });

        pictures.Verdict.Should().Be(Verdict.Note);
        pictures.Found.Should().Contain("SkiaSharp has no library for this machine");
    }

    [Fact]
    public void Which_mpi_ranks_would_use_is_said_or_how_to_get_one()
    {
        Of("MPI").Found.Should().Be("Open MPI 4.1.4: /usr/lib/libmpi.so.40, started by /usr/bin/mpirun");
        Finding none = Of("MPI", host: Host with { Mpi = null }), alone = Of("MPI", host: Host with { Mpi = Host.Mpi! with { Launcher = null } }), wrong = Of("MPI", host: Host with { Mpi = new("", null, "IMTA_MPI is 'x'") });

        (none.Verdict, alone.Verdict, wrong.Verdict).Should().Be((Verdict.Note, Verdict.Note, Verdict.Warning));
        none.Advice.Should().Contain("apt-get install openmpi-bin").And.Contain("IMTA_MPI=");
        alone.Found.Should().Contain("no mpirun of its own is found");
        wrong.Found.Should().Be("IMTA_MPI is 'x'");
    }

    [Fact]
    public void The_reference_BLAS_is_warned_of()
    {
        Finding blas = Of("BLAS", Torch with { Libraries = ["/home/mkl/bin/imta.dll", "/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0"] });

        blas.Verdict.Should().Be(Verdict.Warning);
        blas.Found.Should().Contain("/blas/libblas.so.3.11.0");
        blas.Advice.Should().Contain("apt-get install libopenblas0-pthread");
    }

    [Theory]
    [InlineData("/usr/lib/x86_64-linux-gnu/libmkl_rt.so")]
    [InlineData("/usr/lib/x86_64-linux-gnu/blis-openmp/libblas.so.3")]
    [InlineData("/opt/libtorch/lib/libtorch_cpu.so")]
    public void Another_BLAS_is_well(string library) => Of("BLAS", Torch with { Libraries = [library] }).Verdict.Should().Be(Verdict.Ok);

    [Fact]
    public void More_OpenBLAS_threads_than_one_are_warned_of()
    {
        Finding blas = Of("BLAS", Torch with { Settings = [("OPENBLAS_NUM_THREADS", "4")] });

        blas.Verdict.Should().Be(Verdict.Warning);
        blas.Found.Should().EndWith("OPENBLAS_NUM_THREADS=4");
    }

    [Fact]
    public void A_build_with_another_libtorch_than_LIBTORCH_names_is_warned_of()
    {
        using var folder = new TemporaryFolder();
        Directory.CreateDirectory(folder.In("lib"));
        HostFacts host = Host with { Variables = Variables(("LIBTORCH", folder.Path)) };

        Finding other = Of("libtorch", Torch, host);
        Finding same = Of("libtorch", Torch with { Libraries = [folder.In("lib", "libtorch_cpu.so")] }, host);

        other.Verdict.Should().Be(Verdict.Warning);
        other.Advice.Should().Contain(folder.Path).And.Contain("./imta");
        same.Verdict.Should().Be(Verdict.Ok);
        same.Found.Should().Contain("of LIBTORCH");
    }

    [Fact]
    public void A_package_needs_no_native_library()
    {
        TorchFacts package = Torch with { IsPackage = true, NativeExists = false, Libraries = ["/home/me/.nuget/libtorch_cpu.so"], Settings = [] };

        Of("native library", package).Verdict.Should().Be(Verdict.Ok);
        Of("libtorch", package).Found.Should().Contain("package");
        Of("allocator", package).Found.Should().Be("as the system sets it");
    }

    [Fact]
    public void What_is_missing_names_how_to_get_it()
    {
        Of("libtorch", Torch with { Problem = "libtorch.so: cannot open", Libraries = [] }).Should().BeEquivalentTo(new { Verdict = Verdict.Missing, Found = "cannot be used: libtorch.so: cannot open" })
            .And.Match<Finding>(finding => finding.Advice!.Contains("apt-get install libtorch-dev"));
        Of("native library", Torch with { Problem = "gone", NativeExists = false, Libraries = [] }).Should().Match<Finding>(finding => finding.Verdict == Verdict.Missing && finding.Found.Contains("is not there"));
        Of("native library", Torch with { Problem = "gone", Libraries = [] }).Should().Match<Finding>(finding => finding.Verdict == Verdict.Missing && finding.Found.EndsWith("cannot be loaded: gone"));
    }

    [Theory]
    [InlineData(8.0, false, "8.0 GiB for this process")]
    [InlineData(1.5, true, "1.5 GiB for this process")]
    public void Little_memory_is_warned_of(double available, bool warns, string found)
    {
        Finding memory = Of("memory", host: Host with { MemoryAvailable = (long)(available * Gibibyte) });

        (memory.Verdict, memory.Found).Should().Be((warns ? Verdict.Warning : Verdict.Ok, found));
    }

    [Fact]
    public void What_this_system_does_not_tell_is_a_note()
    {
        HostFacts silent = Host with { Processor = null, VectorUnits = null, CoresOfMachine = null, MemoryAvailable = null, RunFolderFree = null };

        Doctor.Examine(silent, Torch with { Libraries = [], Settings = [] }).Should().NotContain(finding => finding.Verdict >= Verdict.Warning);
    }

    [Fact]
    public void The_smaller_things_are_told_too()
    {
        Of("threads", host: Host with { Variables = Variables(("OMP_NUM_THREADS", "1")) }).Found.Should().Be("2 by default, for 2 of 8 cores that this process may use; OMP_NUM_THREADS=1");
        Of("allocator", host: Host with { Variables = Variables(("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")) }).Verdict.Should().Be(Verdict.Note);
        Of("processor", host: Host with { VectorUnits = [] }).Verdict.Should().Be(Verdict.Warning);
        Of("disk", host: Host with { RunFolderFree = 1000 }).Verdict.Should().Be(Verdict.Warning);
        Of("CUDA", Torch with { CudaDevices = 2 }).Found.Should().StartWith("2 devices");
        Of("CUDA", host: Host with { HasNvidiaDriver = true }).Advice.Should().Contain("LIBTORCH=");
        Of("python3-torch", host: Host with { HasPythonTorch = false }).Verdict.Should().Be(Verdict.Note);
    }

    [Fact]
    public void The_loaders_message_is_cut_to_the_file_that_is_missing()
    {
        const string Message = "Unable to load shared library 'imta_native' or one of its dependencies. Set LD_DEBUG:\n"
            + "libtorch.so.1.13: cannot open shared object file: No such file or directory\n"
            + "/imta/imta_native.so: cannot open shared object file: No such file or directory\n";

        TorchFacts.Reason(new TypeInitializationException("x", new DllNotFoundException(Message)))
            .Should().Be("libtorch.so.1.13: cannot open shared object file: No such file or directory");
        TorchFacts.Reason(new InvalidOperationException("two\nlines")).Should().Be("two lines");
        TorchFacts.Reason(new DllNotFoundException("short")).Should().Be("short");
    }

    private static Dictionary<string, string> Variables(params (string Name, string Value)[] variables) => variables.ToDictionary(variable => variable.Name, variable => variable.Value);

    private static Finding Of(string check, TorchFacts? torch = null, HostFacts? host = null)
        => Doctor.Examine(host ?? Host, torch ?? Torch).Single(finding => finding.Check == check);
}
