using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.Versioning;

namespace Imta.MetaWeight.Tests.Experiments;

/// <summary>
/// Runs <c>./imta</c> and <c>./test</c> as a user would, in a bare checkout of its own: one small project, and a stand-in for
/// <c>dotnet</c> that "builds" a program in no time, writes down how often it did, and echoes its arguments when it is run.
/// </summary>
[SupportedOSPlatform("linux")]
public sealed class LauncherTests : IDisposable
{
    private const string Dotnet = """
        case $1 in
          --list-sdks) echo "10.0.100 [/sdk]" ;;
          build)
            echo build >> "$CHECKOUT/builds.txt"
            [ ! -e "$CHECKOUT/broken" ] || { echo "Program.cs(1,1): error CS1002: ; expected"; exit 1; }
            sleep 0.3
            mkdir -p "$CHECKOUT/Experiments/bin/Release/net10.0"
            cp "$CHECKOUT/Experiments/Program.cs" "$CHECKOUT/Experiments/bin/Release/net10.0/imta.dll" ;;
          test)
            mkdir -p "$CHECKOUT/artifacts/test-results"
            cp "$CHECKOUT/tests.trx" "$CHECKOUT/artifacts/test-results/"
            exit "$(cat "$CHECKOUT/tests.exit")" ;;
          *)
            program=$1
            shift
            echo "$(cat "$program") in $PWD with OPENBLAS_NUM_THREADS=$OPENBLAS_NUM_THREADS: $#"
            for argument; do echo "<$argument>"; done
            if [ "$1" = hold ]; then
              touch "$CHECKOUT/held"
              until [ -e "$CHECKOUT/release" ]; do sleep 0.05; done
              cat "$program"
            fi
            exit 7 ;;
        esac
        """;

    // What the launchers call beside dotnet and what they look for.
    private static readonly string[] Essentials =
        ["bash", "sh", "cat", "cp", "cut", "dirname", "find", "flock", "grep", "mkdir", "mv", "readlink", "rm", "sha256sum", "sleep", "sort", "tail"];

    private readonly string _checkout;
    private readonly string _tools;
    private readonly Dictionary<string, string?> _environment;

    public LauncherTests()
    {
        Skip.IfNot(OperatingSystem.IsLinux() && File.Exists("/bin/bash"), "the launchers are bash scripts for Linux");
        var repository = Repository();
        _checkout = Directory.CreateTempSubdirectory("imta-launcher-").FullName;
        _tools = Directory.CreateDirectory(InCheckout(".tools")).FullName;
        _environment = new()
        {
            ["PATH"] = $"{_tools}:/usr/bin:/bin",
            ["CHECKOUT"] = _checkout,
            ["TorchSource"] = "package",
            ["LIBTORCH"] = null,
            ["CXX"] = null,
            ["OPENBLAS_NUM_THREADS"] = null,
        };
        Directory.CreateDirectory(InCheckout("scripts"));
        foreach (var script in new[] { "imta", "test", "scripts/setup.sh" })
        {
            File.Copy(Path.Combine(repository, script), InCheckout(script));
        }

        Source("Experiments.csproj", "<Project/>");
        Source("Program.cs", "version 1");
        Tool("dotnet", Dotnet);
        Tool("chromium", "exit 1");
    }

    public void Dispose() => Directory.Delete(_checkout, recursive: true);

    [SkippableFact]
    public void It_becomes_the_program_in_the_callers_folder_with_its_arguments_and_exit_code()
    {
        var start = Start("train", "two words", "");

        start.Output.Should().Be("version 1 in /usr with OPENBLAS_NUM_THREADS=1: 3\n<train>\n<two words>\n<>\n");
        start.ExitCode.Should().Be(7);
    }

    [SkippableFact]
    public void It_leaves_a_thread_count_that_the_user_set()
    {
        _environment["OPENBLAS_NUM_THREADS"] = "3";

        Start().Output.Should().Contain("OPENBLAS_NUM_THREADS=3");
    }

    [SkippableFact]
    public void It_builds_once_and_keeps_the_standard_output_for_the_program()
    {
        var first = Start();
        var second = Start();

        first.Error.Should().Contain("building").And.Contain("ready");
        second.Error.Should().BeEmpty();
        second.Output.Should().Be(first.Output);
        Builds.Should().Be(1);
    }

    [SkippableFact]
    public void It_builds_again_when_a_source_changed_appeared_or_went_and_not_for_anything_else()
    {
        Start();

        Source("Program.cs", "version 2");
        Start().Output.Should().StartWith("version 2");
        Source("More.cs", "");
        Start();
        File.Delete(InCheckout("Experiments/More.cs"));
        Start();
        Builds.Should().Be(4);

        Source("obj/Generated.cs", "");
        Source(".Program.cs.swp", "");
        Start();
        Builds.Should().Be(4);
    }

    [SkippableFact]
    public void It_builds_again_for_another_libtorch_or_TorchSource()
    {
        Tool("g++", "exit 1");
        Tool("cmake", "exit 1");
        Tool("make", "exit 1");
        Start();

        _environment["LIBTORCH"] = Libtorch();
        Start();
        Start();
        Builds.Should().Be(2);

        _environment["TorchSource"] = "system";
        Start();
        Start();
        Builds.Should().Be(3);
    }

    [SkippableFact]
    public void Starts_at_the_same_time_build_once()
    {
        var starts = Enumerable.Range(0, 4).Select(_ => Task.Run(() => Start())).ToArray();
        Task.WaitAll(starts);

        starts.Should().OnlyContain(start => start.Result.ExitCode == 7 && start.Result.Output.StartsWith("version 1"));
        Builds.Should().Be(1);
    }

    [SkippableFact]
    public void A_running_program_keeps_its_files_when_another_start_builds()
    {
        Start();
        var running = Task.Run(() => Start("hold"));
        SpinWait.SpinUntil(() => File.Exists(InCheckout("held")), TimeSpan.FromSeconds(30)).Should().BeTrue();

        Source("Program.cs", "version 2");
        Start().Output.Should().StartWith("version 2");
        File.WriteAllText(InCheckout("release"), "");

        running.Result.Output.Should().StartWith("version 1").And.EndWith("version 1");
    }

    [SkippableFact]
    public void A_failed_build_shows_its_errors_and_where_the_log_is_and_starts_nothing()
    {
        File.WriteAllText(InCheckout("broken"), "");

        var start = Start();

        start.ExitCode.Should().Be(1);
        start.Output.Should().BeEmpty();
        start.Error.Should().Contain("error CS1002: ; expected").And.Contain(InCheckout("artifacts/logs/build.log"));
    }

    [SkippableTheory]
    [InlineData("/nowhere")]
    [InlineData("/usr/bin")]
    public void A_LIBTORCH_without_headers_is_refused(string folder)
    {
        _environment["LIBTORCH"] = folder;

        ShouldBeRefused(Start(), "LIBTORCH", folder, "include/torch");
    }

    [SkippableFact]
    public void An_unknown_TorchSource_is_refused()
    {
        _environment["TorchSource"] = "nuget";

        ShouldBeRefused(Start(), "TorchSource", "nuget", "system", "package");
    }

    [SkippableFact]
    public void Without_dotnet_it_says_what_to_install()
    {
        OnlyTools(Essentials);
        File.Delete(Path.Combine(_tools, "dotnet"));

        ShouldBeRefused(Start(), "no dotnet", ".NET SDK 10");
    }

    [SkippableFact]
    public void Without_root_it_names_the_missing_packages()
    {
        OnlyTools(Essentials);
        Tool("id", "echo 1000");
        Tool("apt-get", "echo called >> \"$CHECKOUT/apt.txt\"");
        _environment["LIBTORCH"] = Libtorch();

        ShouldBeRefused(Start(), "g++ cmake make", "apt-get install -y --no-install-recommends g++ cmake make");
        File.Exists(InCheckout("apt.txt")).Should().BeFalse();
    }

    [SkippableFact]
    public void Without_apt_it_names_the_missing_packages()
    {
        OnlyTools(Essentials);
        Tool("id", "echo 0");
        Tool("make", "exit 1");
        _environment["LIBTORCH"] = Libtorch();

        ShouldBeRefused(Start(), "missing on this machine: g++ cmake;");
    }

    [SkippableFact]
    public void As_root_it_installs_the_missing_packages_and_only_those()
    {
        OnlyTools(Essentials);
        Tool("id", "echo 0");
        Tool("apt-get", "echo \"$@\" >> \"$CHECKOUT/apt.txt\"");
        Tool("make", "exit 1");
        _environment["LIBTORCH"] = Libtorch();

        var start = Start();

        start.Output.Should().StartWith("version 1");
        File.ReadAllLines(InCheckout("apt.txt")).Should().HaveCount(2)
            .And.Contain("update").And.ContainMatch("install -y --no-install-recommends g++ cmake*");
    }

    [SkippableTheory]
    [InlineData("0", true)]
    [InlineData("1000", false)]
    public void The_tests_get_a_browser_only_where_it_can_be_installed_and_the_program_never(string user, bool installed)
    {
        OnlyTools([.. Essentials, "awk"]);
        File.Delete(Path.Combine(_tools, "chromium"));
        Tool("id", $"echo {user}");
        Tool("apt-get", "echo \"$@\" >> \"$CHECKOUT/apt.txt\"");
        Trx(("Passed", ""));

        Start().Output.Should().StartWith("version 1");
        File.Exists(InCheckout("apt.txt")).Should().BeFalse();

        Run("test").ExitCode.Should().Be(0);
        File.Exists(InCheckout("apt.txt")).Should().Be(installed);
        if (installed)
        {
            File.ReadAllLines(InCheckout("apt.txt")).Should().ContainMatch("install * chromium *");
        }
    }

    [SkippableTheory]
    [InlineData(true, "train", "--processes", "2")]
    [InlineData(true, "train", "--processes=2")]
    [InlineData(true, "bench", "scale")]
    [InlineData(false, "train", "--process-timeout", "2")]
    [InlineData(false, "train", "--processes", "1")]
    [InlineData(false, "train", "--processes", "2", "--help")]
    [InlineData(false, "train")]
    public void An_mpi_is_installed_only_where_ranks_are_asked_for(bool installed, params string[] arguments)
    {
        OnlyTools(Essentials);
        Tool("id", "echo 0");
        Tool("apt-get", "echo \"$@\" >> \"$CHECKOUT/apt.txt\"");

        Start(arguments).Output.Should().StartWith("version 1");

        File.Exists(InCheckout("apt.txt")).Should().Be(installed);
        if (installed)
        {
            File.ReadAllLines(InCheckout("apt.txt")).Should().ContainMatch("install * openmpi-bin *");
        }
    }

    [SkippableTheory]
    [InlineData("0", "mpirun", null)]
    [InlineData("0", null, "/opt/mpi/lib/libmpi.so")]
    [InlineData("1000", null, null)]
    public void An_mpi_that_is_there_is_taken_and_without_root_none_is_installed(string user, string? launcher, string? library)
    {
        OnlyTools(Essentials);
        Tool("id", $"echo {user}");
        Tool("apt-get", "echo \"$@\" >> \"$CHECKOUT/apt.txt\"");
        _environment["IMTA_MPI"] = library;
        if (launcher is not null)
        {
            Tool(launcher, "exit 1");
        }

        Start("train", "--processes", "2").Output.Should().StartWith("version 1");

        File.Exists(InCheckout("apt.txt")).Should().BeFalse();
    }

    [SkippableFact]
    public void When_apt_fails_its_message_is_shown()
    {
        OnlyTools(Essentials);
        Tool("id", "echo 0");
        Tool("apt-get", "echo 'E: Unable to locate package' >&2; exit 100");
        _environment["LIBTORCH"] = Libtorch();

        var start = Start();

        start.ExitCode.Should().Be(1);
        start.Error.Should().Contain("E: Unable to locate package").And.Contain("apt.log");
        Builds.Should().Be(0);
    }

    [SkippableFact]
    public void The_tests_end_with_their_counts_and_the_reasons_of_those_skipped()
    {
        Trx(("Passed", ""), ("Passed", ""), ("NotExecuted", "set A &amp; B"), ("NotExecuted", "set A &amp; B"), ("NotExecuted", "no\nGPU"));

        var run = Run("test");

        run.ExitCode.Should().Be(0);
        run.Output.Should().Contain("skipped 2: set A & B\n").And.Contain("skipped 1: no GPU\n").And.EndWith("2 passed, 0 failed, 3 skipped\n");
    }

    [SkippableFact]
    public void A_failed_test_is_counted_and_ends_with_its_exit_code()
    {
        Trx(("Passed", ""), ("Failed", "Expected 1 to be 2"));
        File.WriteAllText(InCheckout("tests.exit"), "1");

        var run = Run("test");

        run.ExitCode.Should().Be(1);
        run.Output.Should().EndWith("1 passed, 1 failed, 0 skipped\n");
    }

    [SkippableFact]
    public void A_test_run_that_breaks_off_counts_as_a_failure()
    {
        Trx(("Passed", ""));
        File.WriteAllText(InCheckout("tests.exit"), "1");

        var run = Run("test");

        run.ExitCode.Should().Be(1);
        run.Output.Should().EndWith("1 passed, 1 failed, 0 skipped\n");
    }

    [SkippableFact]
    public void A_filter_that_no_test_matches_is_a_failure()
    {
        Trx();

        Run("test").ExitCode.Should().Be(1);
    }

    private static void ShouldBeRefused(Finished start, params string[] parts)
    {
        start.ExitCode.Should().Be(2);
        start.Output.Should().BeEmpty();
        start.Error.Should().StartWith("imta: ").And.ContainAll(parts).And.EndWith("\n");
        start.Error.TrimEnd('\n').Should().NotContain("\n", "the user gets one line");
    }

    private Finished Start(params string[] arguments) => Run("imta", arguments);

    private Finished Run(string script, params string[] arguments)
    {
        var information = new ProcessStartInfo(InCheckout(script), arguments)
        {
            WorkingDirectory = "/usr",
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in _environment)
        {
            information.Environment[name] = value;
        }

        using var process = Process.Start(information)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromSeconds(60)))
        {
            process.Kill(entireProcessTree: true);
        }

        return new(process.ExitCode, output.Result, error.Result);
    }

    private int Builds => File.Exists(InCheckout("builds.txt")) ? File.ReadAllLines(InCheckout("builds.txt")).Length : 0;

    private string InCheckout(string path) => Path.Combine(_checkout, path);

    private void Source(string path, string text)
    {
        var file = InCheckout(Path.Combine("Experiments", path));
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, text);
    }

    private void Tool(string name, string script)
    {
        var file = Path.Combine(_tools, name);
        File.WriteAllText(file, "#!/bin/sh\n" + script.ReplaceLineEndings("\n") + "\n");
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
    }

    // A machine on which only these and the stand-ins are on the PATH.
    private void OnlyTools(params string[] names)
    {
        foreach (var name in names)
        {
            File.CreateSymbolicLink(Path.Combine(_tools, name), File.Exists($"/bin/{name}") ? $"/bin/{name}" : $"/usr/bin/{name}");
        }

        _environment["PATH"] = _tools;
    }

    private string Libtorch()
    {
        var headers = Directory.CreateDirectory(InCheckout(".libtorch/include/torch/csrc/api/include/torch")).FullName;
        File.WriteAllText(Path.Combine(headers, "version.h"), "");
        return InCheckout(".libtorch");
    }

    private void Trx(params (string Outcome, string Message)[] tests)
    {
        var results = tests.Select(test => $"""
                <UnitTestResult testName="a" outcome="{test.Outcome}" testListId="1">
                  <Output>
                    <ErrorInfo>
                      <Message>{test.Message}</Message>
                    </ErrorInfo>
                  </Output>
                </UnitTestResult>
            """);
        File.WriteAllText(InCheckout("tests.trx"), $"<TestRun>\n  <Results>\n{string.Join('\n', results)}\n  </Results>\n</TestRun>\n");
        File.WriteAllText(InCheckout("tests.exit"), "0");
    }

    private static string Repository([CallerFilePath] string source = "")
    {
        var folder = Path.GetDirectoryName(source);
        while (folder != null && !File.Exists(Path.Combine(folder, "scripts", "setup.sh")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        Skip.If(folder == null, "the checkout that these tests were built from is gone");
        return folder!;
    }

    private sealed record Finished(int ExitCode, string Output, string Error);
}
