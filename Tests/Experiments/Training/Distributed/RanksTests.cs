using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>What tests of several ranks share, which Open MPI and MPICH launch, where they are installed.</summary>
public abstract partial class RanksTests : IDisposable
{
    private protected const string OpenMpi = "Open MPI", Mpich = "MPICH";

    // Long enough for a signal to come in the middle; a checkpoint after every batch.
    private protected static readonly string[] Long =
    [
        .. ImtaProcess.Tiny, "--set", "train.epochs=7", "--set", "data.trainLimit=300", "--set", "train.batch=32", "--set",
        "export.weightsEvery=1",
    ];
    private protected static readonly string[] Often = ["--checkpoint-minutes", "0.0001"];
    private protected static readonly string[] Unlike = ["timing.csv", "environment.json", "log.txt"];

    private protected TemporaryFolder Folder { get; } = new();


    public void Dispose()
    {
        Folder.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected static string[] OwnLines(ImtaProcess.Result result)
        =>
        [
            .. result.All.Split('\n').Select(line => line.TrimEnd('\r')).Where(line => line.StartsWith("imta: ", StringComparison.Ordinal)),
        ];

    private protected static void WaitForEnd(params int[] processes)
        => SpinWait.SpinUntil(() => !processes.Any(Runs), TimeSpan.FromMinutes(1)).Should().BeTrue("they end");

    private protected static bool Runs(int process)
    {
        try
        {
            return !File.ReadAllText($"/proc/{process}/stat").Contains(") Z ", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false; // it may end at any moment, even while its file is read
        }
    }

    [GeneratedRegex(@"rank (\d+): process (\d+) on .* also in (.*) there")]
    private static partial Regex RankLine();

    private protected string In(params string[] parts) => Folder.In(parts);

    private protected ImtaProcess Launch(Launcher launcher, string[] arguments, params (string, string)[] environment)
        => ImtaProcess.StartCommand(Folder.Path, [.. launcher.Starting(2), .. ImtaProcess.Imta(arguments)], environment);

    private protected void Refused(Launcher launcher, string message, params string[] arguments)
    {
        using ImtaProcess process = Launch(launcher, arguments);
        ImtaProcess.Result result = process.End();
        result.Code.Should().Be(2, result.All);
        OwnLines(result).Should().ContainSingle(message).Which.Should().Contain(message);
    }

    private protected ImtaProcess.Result Unequal(Launcher launcher, string[] first, string[] second)
    {
        using ImtaProcess process = ImtaProcess.StartCommand(
            Folder.Path, [.. launcher.One, .. ImtaProcess.Imta(first), .. launcher.Next, .. ImtaProcess.Imta(second)]);
        return process.End();
    }

    /// <summary>How often the run was started, as its log has it once all ranks of a start are there.</summary>
    private protected int StartsOf(string run)
        => RankLine().Matches(File.ReadAllText(In(run, "log.txt"))).Count(match => match.Groups[1].Value == "1");

    /// <summary>What the run's log says of a rank, at its last start.</summary>
    private protected Match LineOf(string run, int rank)
        => RankLine().Matches(File.ReadAllText(In(run, "log.txt")))
            .Last(match => int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) == rank);

    private protected int PidOf(string run, int rank) => int.Parse(LineOf(run, rank).Groups[2].Value, CultureInfo.InvariantCulture);

    private protected string LastWordsOf(string run, int rank) => LineOf(run, rank).Groups[3].Value;

    private protected void KillRank(string run, int rank)
    {
        using var process = Process.GetProcessById(PidOf(run, rank));
        process.Kill();
    }

    private protected static Dictionary<string, string> Tables(string run) => Directory
        .EnumerateFiles(run, "*.csv", SearchOption.AllDirectories)
        .Where(file => !Unlike.Contains(Path.GetFileName(file)))
        .OrderBy(file => file, StringComparer.Ordinal)
        .ToDictionary(file => Path.GetRelativePath(run, file), File.ReadAllText);

    /// <summary>A <see cref="Long"/> run by each library that nothing disturbs, made when it is first asked for.</summary>
    public sealed class Undisturbed : IDisposable
    {
        private readonly TemporaryFolder _folder = new();
        private readonly Dictionary<string, ImtaProcess.Result> _results = [];

        public void Dispose() => _folder.Dispose();

        internal ImtaProcess.Result Result(Launcher launcher)
        {
            if (!_results.TryGetValue(launcher.Mpi, out ImtaProcess.Result? result))
            {
                result = ImtaProcess.Run(
                    _folder.Path, [(MpiLibrary.Variable, launcher.File)],
                    ["train", "--out", launcher.Mpi, "--processes", "2", .. Long]);
                result.Code.Should().Be(0, result.All);
                _results[launcher.Mpi] = result;
            }

            return result;
        }

        internal Dictionary<string, string> Tables(Launcher launcher)
        {
            _ = Result(launcher);
            return RanksTests.Tables(_folder.In(launcher.Mpi));
        }
    }
}
