using System.Diagnostics;
using System.Runtime.Versioning;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Tests.Docs;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>
/// Runs <c>./imta</c> and <c>./test</c> as a user would, in a bare checkout of its own and with nothing but bash and coreutils on
/// the PATH: one small project, and a stand-in for <c>dotnet</c> that "builds" a program in no time, writes down how often it did,
/// and echoes its arguments when it is run.
/// </summary>
[SupportedOSPlatform("linux")]
public sealed class LauncherTests : IDisposable
{
    private const string Dotnet = """
        case $1 in
          --list-sdks) echo "10.0.100 [/sdk]" ;;
          build)
            echo "$2" >> "$CHECKOUT/builds.txt"
            [ ! -e "$CHECKOUT/broken" ] || { cat "$CHECKOUT/broken"; exit 1; }
            built=$CHECKOUT/Experiments/bin/Release/net10.0
            mkdir -p "$built/libtorch"
            mkdir -p "$built/win-x64"
            cp "$CHECKOUT/Experiments/Program.cs" "$built/imta.dll"
            [ -e "$built/libtorch/libtorch.so" ] || echo libtorch > "$built/libtorch/libtorch.so"
            [ ! -e "$CHECKOUT/edit" ] || mv "$CHECKOUT/edit" "$CHECKOUT/Experiments/Program.cs"
            until [ ! -e "$CHECKOUT/slow" ]; do /bin/sleep 0.05; done ;;
          test)
            shift
            echo "dotnet test $*"
            exit 3 ;;
          *)
            program=$1
            shift
            echo "$(cat "$program") in $PWD: $#"
            [ ! -e "$CHECKOUT/tell" ] || echo "called as $IMTA_CALLED_AS"
            for argument; do echo "<$argument>"; done
            if [ "$1" = hold ]; then
              echo $$ > "$CHECKOUT/held.$$"
              until [ -e "$CHECKOUT/release" ]; do /bin/sleep 0.05; done
              cat "$program"
            fi
            exit 7 ;;
        esac
        """;

    private static readonly string[] Coreutils =
        ["cat", "cksum", "cp", "dirname", "head", "ln", "ls", "mkdir", "mv", "readlink", "rm", "rmdir", "tail", "touch"];

    private static readonly string Host = OperatingSystem.IsLinux() ? File.ReadAllText("/proc/sys/kernel/hostname").Trim() : "";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _checkout;
    private readonly string _tools;
    private readonly Dictionary<string, string?> _environment;

    public LauncherTests()
    {
        Skip.IfNot(OperatingSystem.IsLinux() && File.Exists("/bin/bash"), "these launchers are bash scripts");
        _checkout = Directory.CreateTempSubdirectory("imta launcher-").FullName;
        _tools = Directory.CreateDirectory(InCheckout(".tools")).FullName;
        _environment = new()
        {
            ["PATH"] = _tools,
            ["CHECKOUT"] = _checkout,
            ["Torch"] = null,
            ["OMPI_COMM_WORLD_SIZE"] = null,
            ["PMI_RANK"] = null,
            ["PMI_SIZE"] = null,
            ["SLURM_STEP_NUM_TASKS"] = null,
        };
        Directory.CreateDirectory(InCheckout("scripts"));
        foreach (string script in new[] { "imta", "test", "scripts/build.sh" })
        {
            ExecutableScript.Write(InCheckout(script), File.ReadAllText(Path.Combine(MarkdownPage.Repository(), script)));
        }

        Source("Experiments/Experiments.csproj", "<Project/>");
        Source("Experiments/Program.cs", "version 1");
        Source("configs/quickstart.yaml", "seed: 1");
        Source("Directory.Build.props", "<Project/>");
        foreach (string tool in new[] { "bash", "sh" }.Concat(Coreutils))
        {
            File.CreateSymbolicLink(Path.Combine(_tools, tool), File.Exists($"/bin/{tool}") ? $"/bin/{tool}" : $"/usr/bin/{tool}");
        }

        Tool("sleep", "echo $PPID >> \"$CHECKOUT/naps.txt\"; exec /bin/sleep \"$@\"");
        Tool("dotnet", Dotnet);
    }

    public void Dispose() => Directory.Delete(_checkout, recursive: true);

    [Fact]
    public void It_becomes_the_program_in_the_callers_folder_with_its_arguments_and_exit_code()
    {
        Finished start = Start("train", "two words", "");

        start.Output.Should().Be("version 1 in /usr: 3\n<train>\n<two words>\n<>\n");
        start.ExitCode.Should().Be(7);
    }

    [Fact]
    public void The_program_knows_how_it_was_called()
    {
        File.WriteAllText(InCheckout("tell"), "");

        Run(InCheckout("imta")).Output.Should().EndWith($"called as {InCheckout("imta")}\n");
    }

    [Fact]
    public void It_may_be_called_by_a_link_or_by_bash()
    {
        string link = InCheckout(".tools/link");
        File.CreateSymbolicLink(link, "../imta");

        Run(link).Output.Should().Be("version 1 in /usr: 0\n");
        Run("/bin/bash", InCheckout("imta"), "x").Output.Should().Be("version 1 in /usr: 1\n<x>\n");
        Builds.Should().Be(1);
    }

    [Fact]
    public void It_builds_once_and_keeps_the_standard_output_for_the_program()
    {
        Finished first = Start();
        Finished second = Start();

        first.Error.Should().Contain("building").And.Contain("ready");
        second.Error.Should().BeEmpty();
        second.Output.Should().Be(first.Output);
        Builds.Should().Be(1);
    }

    [Theory]
    [InlineData("Experiments/Program.cs", "version 2")]
    [InlineData("Experiments/Deep/er/More.cs", "")]
    [InlineData("Meta/Meta.csproj", "<Project/>")]
    [InlineData("Directory.Build.props", "<Project />")]
    [InlineData("configs/quickstart.yaml", "seed: 2")]
    public void It_builds_again_when_something_changed_that_the_program_is_made_from(string file, string text)
    {
        Start();

        Source(file, text);
        Start();
        Start();

        Builds.Should().Be(2);
    }

    [Theory]
    [InlineData("Experiments/obj/Generated.cs")]
    [InlineData("Experiments/bin/Release/log.txt")]
    [InlineData("Experiments/.Program.cs.swp")]
    [InlineData("Experiments/Program.cs~")]
    [InlineData("Tests/Tests.csproj")]
    [InlineData("README.md")]
    [InlineData("artifacts/logs/old.log")]
    public void It_does_not_build_again_for_anything_else(string file)
    {
        Start();

        Source(file, "new");
        File.SetLastWriteTimeUtc(InCheckout("Experiments/Program.cs"), DateTime.UtcNow.AddHours(1));
        Start().Output.Should().StartWith("version 1");

        Builds.Should().Be(1);
    }

    [Fact]
    public void A_file_that_came_and_went_brings_the_earlier_build_back_and_older_ones_go()
    {
        Start();
        Source("Experiments/Program.cs", "version 2");
        Start().Output.Should().StartWith("version 2");
        Source("Experiments/Program.cs", "version 1");
        Start().Output.Should().StartWith("version 1");
        Builds.Should().Be(2);

        Source("Experiments/Program.cs", "version 3");
        Start();
        Source("Experiments/Program.cs", "version 4");
        Start();
        Programs.Should().BeEquivalentTo("version 3", "version 4");
    }

    [Fact]
    public void A_shell_that_completes_a_line_is_answered_by_the_last_build_and_waits_for_none()
    {
        Finished early = Start("[suggest:5]", "imta ");
        (early.ExitCode, early.Output, Builds).Should().Be((0, "", 0), "there is none yet");
        Start();
        Source("Experiments/Program.cs", "version 2");

        Start("[suggest:5]", "imta ").Output.Should().Be("version 1 in /usr: 2\n<[suggest:5]>\n<imta >\n");

        Builds.Should().Be(1);
    }

    [Fact]
    public void It_builds_again_for_another_libtorch()
    {
        Start();

        _environment["Torch"] = "cuda";
        Start();
        Start();

        Builds.Should().Be(2);
    }

    [Fact]
    public void What_changes_while_it_builds_is_built_too()
    {
        File.WriteAllText(InCheckout("edit"), "version 2");

        Start().Output.Should().StartWith("version 2");

        Builds.Should().Be(2);
        Programs.Should().Equal("version 2");
    }

    [Fact]
    public void Libtorch_is_kept_by_links_and_our_own_files_are_copied()
    {
        Start();

        // A later build writes into the file that it finds, as this does.
        File.WriteAllText(InCheckout("Experiments/bin/Release/net10.0/imta.dll"), "overwritten");
        File.WriteAllText(InCheckout("Experiments/bin/Release/net10.0/libtorch/libtorch.so"), "the same file");

        Programs.Should().Equal("version 1");
        Directory.GetDirectories(ProgramFolders.Single()).Select(Path.GetFileName)
            .Should().BeEquivalentTo(["libtorch", "users"], "what was published for another platform is no part of it");
        File.ReadAllText(Path.Combine(ProgramFolders.Single(), "libtorch/libtorch.so")).Should().Be("the same file");
    }

    [Fact]
    public void Starts_at_the_same_time_build_once_and_those_that_wait_say_so()
    {
        File.WriteAllText(InCheckout("slow"), "");
        Task<Finished>[] starts = [.. Enumerable.Range(0, 4).Select(_ => InBackground(() => Start()))];
        Wait(() => StartsThatWait == 3);
        File.Delete(InCheckout("slow"));
        Task.WaitAll(starts);

        starts.Should().OnlyContain(start => start.Result.ExitCode == 7 && start.Result.Output.StartsWith("version 1"));
        starts.Count(start => start.Result.Error.Contains("imta: waiting for another start that is building (process ")).Should().Be(3);
        Builds.Should().Be(1);
        File.Exists(Lock).Should().BeFalse();
    }

    [Fact]
    public void Starts_do_not_wait_for_one_that_was_killed_while_it_built()
    {
        using (var killed = Process.Start("/bin/bash", ["-c", "exit 0"]))
        {
            killed.WaitForExit();
            File.CreateSymbolicLink(Lock, $"{Host}-{killed.Id}");
        }

        Task<Finished>[] starts = [.. Enumerable.Range(0, 4).Select(_ => InBackground(() => Start()))];
        Task.WaitAll(starts);

        starts.Should().OnlyContain(start => start.Result.ExitCode == 7 && start.Result.Output.StartsWith("version 1"));
        Builds.Should().Be(1);
        File.Exists(Lock).Should().BeFalse();
    }

    [Fact]
    public void A_lock_of_another_machine_is_waited_for_and_named()
    {
        File.CreateSymbolicLink(Lock, "some-other-machine-1");
        Task<Finished> start = InBackground(() => Start());
        Wait(() => StartsThatWait == 1);
        File.Delete(Lock);

        start.Result.Error.Should().Contain($"(process 1 on some-other-machine; if it is gone, remove {Lock})");
        start.Result.Output.Should().StartWith("version 1");
    }

    [Fact]
    public void A_running_program_keeps_its_files_until_it_ends()
    {
        Start();
        Task<Finished> running = InBackground(() => Start("hold"));
        Wait(() => Directory.GetFiles(_checkout, "held.*").Length == 1);

        foreach (string version in new[] { "version 2", "version 3", "version 4" })
        {
            Source("Experiments/Program.cs", version);
            Start().Output.Should().StartWith(version);
        }

        Programs.Should().BeEquivalentTo("version 1", "version 3", "version 4");
        File.WriteAllText(InCheckout("release"), "");
        running.Result.Output.Should().StartWith("version 1").And.EndWith("version 1");

        Source("Experiments/Program.cs", "version 5");
        Start();
        Programs.Should().BeEquivalentTo("version 4", "version 5");
    }

    [Fact]
    public void What_ended_programs_leave_does_not_pile_up()
    {
        Start();
        string users = Path.Combine(ProgramFolders.Single(), "users");
        foreach (int process in Enumerable.Range(1, 120))
        {
            File.WriteAllText(Path.Combine(users, $"{Host}-{5_000_000 + process}"), ""); // beyond Linux's largest process number
        }

        Start();

        Directory.GetFiles(users).Should().HaveCount(1);
    }

    [Theory]
    [InlineData("OMPI_COMM_WORLD_SIZE=2")]
    [InlineData("PMI_RANK=1", "PMI_SIZE=4")]
    [InlineData("SLURM_STEP_NUM_TASKS=2")]
    public void Ranks_start_what_is_built_and_never_build(params string[] variables)
    {
        foreach (string[] variable in variables.Select(variable => variable.Split('=')))
        {
            _environment[variable[0]] = variable[1];
        }

        ShouldBeRefused(Start(), "ranks do not build", "start ./imta config once before");
        Builds.Should().Be(0);

        foreach (string variable in variables)
        {
            _environment[variable.Split('=')[0]] = "1";
        }

        Start();
        foreach (string[] variable in variables.Select(variable => variable.Split('=')))
        {
            _environment[variable[0]] = variable[1];
        }

        Start().Output.Should().StartWith("version 1");
        Builds.Should().Be(1);
    }

    [Fact]
    public void A_failed_build_shows_its_errors_and_where_the_log_is_and_starts_nothing()
    {
        const string Error = "Program.cs(1,1): error CS1002: ; expected\n", Other = "nuget.csproj : error NU1101: none\n";
        File.WriteAllText(InCheckout("broken"), $"  {Error}words\n  {Error}{Other}");

        Finished start = Start();

        start.ExitCode.Should().Be(1);
        start.Output.Should().BeEmpty();
        start.Error.Should().EndWith(
            $"imta: dotnet build failed; the whole log is {InCheckout("artifacts/logs/build.log")}, and it says:\n"
            + Error + Other);
        File.Exists(Lock).Should().BeFalse();
    }

    [Fact]
    public void A_build_that_fails_without_an_error_of_its_own_shows_the_end_of_its_log()
    {
        File.WriteAllText(InCheckout("broken"), "No usable version of ICU\n");

        Start().Error.Should().EndWith("No usable version of ICU\n");
    }

    [Fact]
    public void Without_dotnet_it_says_what_to_install()
    {
        File.Delete(Path.Combine(_tools, "dotnet"));

        ShouldBeRefused(Start(), "no dotnet", ".NET SDK 10");
    }

    [Fact]
    public void A_dotnet_without_an_SDK_10_does_not_build_and_runs_what_is_built()
    {
        Start();
        Tool("dotnet", "[ \"$1\" != --list-sdks ] || { echo '8.0.100 [/sdk]'; exit; }\n" + Dotnet);

        Start().Output.Should().StartWith("version 1");

        Source("Experiments/Program.cs", "version 2");
        ShouldBeRefused(Start(), "no SDK 10");
    }

    [Fact]
    public void The_tests_are_built_run_and_summed_up()
    {
        string summary = InCheckout("Tests/bin/Release/net10.0/Imta.MetaWeight.Tests.dll"), results = InCheckout("artifacts/test-results");
        Source(Path.GetRelativePath(_checkout, summary), "summary");
        Source(Path.Combine(results, "earlier.trx"), "");

        Finished run = Run(InCheckout("test"), "--filter", "two words");

        File.ReadAllLines(InCheckout("builds.txt")).Should().Equal(InCheckout("Imta.MetaWeight.sln"));
        Directory.Exists(results).Should().BeFalse("records of an earlier run would count");
        run.Output.Should().StartWith($"dotnet test {InCheckout("Imta.MetaWeight.sln")} ")
            .And.Contain(" --no-build ").And.Contain(" --filter two words\n")
            .And.EndWith($"summary in /usr: 3\n<{TestSummary.Command}>\n<{results}>\n<3>\n");
        run.ExitCode.Should().Be(7, "it is the summary's");

        Start().Output.Should().StartWith("version 1");
        Builds.Should().Be(1, "the solution's build has built the program too");
    }

    private static void ShouldBeRefused(Finished start, params string[] parts)
    {
        start.ExitCode.Should().Be(2);
        start.Output.Should().BeEmpty();
        start.Error.Should().StartWith("imta: ").And.ContainAll(parts).And.EndWith("\n");
        start.Error.TrimEnd('\n').Should().NotContain("\n", "the user gets one line");
    }

    private static void Wait(Func<bool> condition) => SpinWait.SpinUntil(condition, Patience).Should().BeTrue();

    private static Task<Finished> InBackground(Func<Finished> start)
        => Task.Factory.StartNew(start, default, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private Finished Start(params string[] arguments) => Run(InCheckout("imta"), arguments);

    private Finished Run(string command, params string[] arguments)
    {
        var information = new ProcessStartInfo(command, arguments)
        {
            WorkingDirectory = "/usr",
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach ((string name, string? value) in _environment)
        {
            information.Environment[name] = value;
        }

        using Process process = Process.Start(information)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Patience))
        {
            process.Kill(entireProcessTree: true);
        }

        return new(process.ExitCode, output.Result, error.Result);
    }

    private int Builds => File.Exists(InCheckout("builds.txt")) ? File.ReadAllLines(InCheckout("builds.txt")).Length : 0;

    // Those that have looked at the lock often enough to say that they wait.
    private int StartsThatWait => File.Exists(InCheckout("naps.txt"))
        ? File.ReadAllLines(InCheckout("naps.txt")).CountBy(process => process).Count(start => start.Value > 5)
        : 0;

    private string Lock => Path.Combine(Directory.CreateDirectory(InCheckout("artifacts")).FullName, "building");

    private string[] ProgramFolders => Directory.GetDirectories(InCheckout("artifacts/imta"));

    private IEnumerable<string> Programs => ProgramFolders.Select(folder => File.ReadAllText(Path.Combine(folder, "imta.dll")));

    private string InCheckout(string path) => Path.Combine(_checkout, path);

    private void Source(string path, string text)
    {
        string file = InCheckout(path);
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, text);
    }

    private void Tool(string name, string script) => ExecutableScript.Write(Path.Combine(_tools, name), $"#!/bin/sh\n{script}\n");

    private sealed record Finished(int ExitCode, string Output, string Error);
}
