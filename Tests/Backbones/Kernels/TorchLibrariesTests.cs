using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Tests.Experiments;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>Which native libraries a program gets that begins with <c>torch</c>, as this assembly does when it runs as a program.</summary>
public sealed class TorchLibrariesTests : IDisposable
{
    /// <summary>The argument of this assembly's program for <see cref="BeginWithTorch"/>.</summary>
    public const string Program = "torch";

    private const string OwnLibrary = "libLibTorchSharp.so";
    private static readonly string Packages = Path.Combine(AppContext.BaseDirectory, "libtorch");

    private readonly TemporaryFolder _folder = new();

    public TorchLibrariesTests() => Skip.IfNot(OperatingSystem.IsLinux(), "elsewhere TorchSharp loads its package's libraries itself");

    /// <inheritdoc/>
    public void Dispose() => _folder.Dispose();

    /// <summary>Uses nothing but TorchSharp, and says what it runs on.</summary>
    public static int BeginWithTorch()
    {
        manual_seed(1);
        Console.WriteLine($"{ones(3).sum().item<float>()} {TorchLibraries.Version}");
        foreach (string line in File.ReadLines("/proc/self/maps").Where(line => line.Contains(".so", StringComparison.Ordinal)))
        {
            string path = line[line.IndexOf('/', StringComparison.Ordinal)..];
            Console.WriteLine(path.Replace(" (deleted)", "", StringComparison.Ordinal)); // by a start beside this one, which wrote the same
        }

        return 0;
    }

    [Fact]
    public void The_packages_libtorch_is_loaded_and_no_other()
    {
        string[] loaded = Loaded(Run());

        loaded.Where(path => path.Contains("libtorch", StringComparison.Ordinal) || path.Contains("libc10", StringComparison.Ordinal))
            .Distinct()
            .Should().OnlyContain(path => Path.GetDirectoryName(path) == Packages).And.Contain(Path.Combine(Packages, "libtorch_cpu.so"));
    }

    [Fact]
    public void LIBTORCH_names_another_one()
    {
        string other = Directory.CreateDirectory(_folder.In("other")).FullName;
        using (ImtaProcess copy = ImtaProcess.StartCommand(_folder.Path, ["cp", "-l", .. Directory.GetFiles(Packages), other]))
        {
            Skip.IfNot(copy.End().Code == 0, "the temporary folder is on another file system than the tests");
        }

        Loaded(Run(("LIBTORCH", other))).Where(path => path.EndsWith("/libtorch_cpu.so", StringComparison.Ordinal)).Distinct()
            .Should().Equal(Path.Combine(other, "libtorch_cpu.so"));
    }

    [Fact]
    public void A_libtorch_of_another_version_is_refused()
    {
        // A library without the function that tells libtorch's version.
        File.Copy(Directory.GetFiles(Packages, "libgomp*").Single(), _folder.In("libtorch_cpu.so"));

        ImtaProcess.Result command = ImtaProcess.Run(_folder.Path, [("LIBTORCH", _folder.Path)], "cost");

        command.Code.Should().Be(2, command.All);
        command.Error.Should().Be($"imta: libtorch cannot be used: {_folder.In("libtorch_cpu.so")} is older than 2.10, but the interface "
            + "of 2.10 is required: use a libtorch 2.10, or set IMTA_LIBTORCH_VERSION=any to try this one anyway.\n");
        Run(("LIBTORCH", _folder.Path)).Error.Should().Contain("is older than 2.10");
    }

    [Theory]
    [InlineData(false, "which has no libtorch_cpu.so: set it to a libtorch's lib folder")]
    [InlineData(true, "whose libtorch_cpu.so cannot be loaded: /")]
    public void A_folder_without_a_libtorch_is_refused_in_one_line(bool hasFile, string why)
    {
        if (hasFile)
        {
            File.WriteAllText(_folder.In("libtorch_cpu.so"), "no library");
        }

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, [("LIBTORCH", _folder.Path)], "cost");

        result.Code.Should().Be(2, result.All);
        result.Error.TrimEnd('\n').Should()
            .StartWith($"imta: libtorch cannot be used: LIBTORCH is {_folder.Path}, {why}").And.NotContain("\n").And.NotContain("strace");
    }

    [Fact]
    public void Programs_that_start_at_once_make_one_copy_and_another_version_replaces_it()
    {
        SkipUnlessCopied();
        string cache = _folder.In("cache"), copy = Path.Combine(cache, "imta-metaweight", Path.GetFileName(TorchLibraries.Copy!));
        (string, string)[] environment = [("XDG_CACHE_HOME", cache)];

        ImtaProcess[] programs =
        [
            .. Enumerable.Range(0, 3).Select(_ => ImtaProcess.StartCommand(_folder.Path, ImtaProcess.Tests(Program), environment)),
        ];
        foreach (ImtaProcess program in programs)
        {
            using (program)
            {
                Loaded(program.End()).Should().Contain(copy);
            }
        }

        Directory.GetFiles(Path.GetDirectoryName(copy)!).Should().Equal(copy);
        byte[] first = File.ReadAllBytes(copy);
        File.WriteAllText(copy, "of another build of the same version");
        Loaded(Run(environment)).Should().Contain(copy);
        File.ReadAllBytes(copy).Should().Equal(first);
    }

    [Fact]
    public void A_cache_that_cannot_be_written_is_told()
    {
        SkipUnlessCopied();
        string file = _folder.In("file");
        File.WriteAllText(file, "");

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, [("XDG_CACHE_HOME", file)], "cost");

        result.Code.Should().Be(2, result.All);
        result.Error.TrimEnd('\n').Should()
            .Contain($"cannot be written to {file}").And.Contain("set XDG_CACHE_HOME to a folder that can be written").And.NotContain("\n");
    }

    [Fact]
    public void The_copy_differs_by_one_flag()
    {
        byte[] library = File.ReadAllBytes(Path.Combine(AppContext.BaseDirectory, OwnLibrary)), copy = [.. library];

        PatchedTorchSharp.Mark(copy);

        int[] changed = [.. Enumerable.Range(0, library.Length).Where(k => library[k] != copy[k])];
        changed.Should().HaveCount(1);
        (library[changed[0]], copy[changed[0]]).Should().Be(((byte)0, (byte)2));
    }

    private static void SkipUnlessCopied()
        => Skip.If(TorchLibraries.Copy is null, "this system's libstdc++ takes TorchSharp's library as it is");

    private ImtaProcess.Result Run(params (string, string)[] environment)
    {
        using ImtaProcess program = ImtaProcess.StartCommand(_folder.Path, ImtaProcess.Tests(Program), environment);
        return program.End();
    }

    private static string[] Loaded(ImtaProcess.Result result)
    {
        result.Code.Should().Be(0, result.All);
        result.Output.Should().StartWith("3 2.10.0");
        return result.Output.TrimEnd().Split('\n')[1..];
    }
}
