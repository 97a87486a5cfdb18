using System.Diagnostics;
using System.Globalization;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>
/// The error messages of a rank that ends early: on standard error, which goes to the launcher, and in a file on its own machine, in case
/// the launcher is gone.
/// </summary>
internal sealed class RankErrorLog
{
    private static readonly TimeSpan RankZeroDelay = TimeSpan.FromSeconds(5); // ranks of a busy machine start at different times
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Recently = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ConsoleTimeout = TimeSpan.FromSeconds(1);
    private static readonly string Folder = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"imta-{Environment.UserName}");

    private readonly RankAssignment _assignment;

    public RankErrorLog(RankAssignment assignment)
    {
        _assignment = assignment;
        string name = string.Create(
            CultureInfo.InvariantCulture, $"{DateTime.Now:yyyyMMdd-HHmmss}-{Environment.ProcessId}-rank{assignment.Rank}.txt");
        Path = System.IO.Path.Combine(Folder, name);
    }

    /// <summary>The file: <c>imta-USER/START-PROCESS-rankR.txt</c> in the temporary folder; it is created with the first line.</summary>
    public string Path { get; }

    /// <summary>Reports a line. Failing to write it does not keep the rank from ending.</summary>
    public void Report(string line)
    {
        Append(line);
        var console = new Thread(() => IgnoreIoErrors(() => Failure.WriteError(line))) { IsBackground = true };
        console.Start();
        console.Join(ConsoleTimeout);
    }

    /// <summary>
    /// Reports what all ranks may report, such as invalid arguments: rank 0 reports it; another rank only if rank 0 did not.
    /// </summary>
    public void ReportOnce(string line)
    {
        if (_assignment.Rank == 0)
        {
            Report(line);
            return;
        }

        for (var clock = Stopwatch.StartNew(); clock.Elapsed < RankZeroDelay; Thread.Sleep(Poll))
        {
            if (RankZeroReported(line))
            {
                return;
            }
        }

        Report($"{RankAssignment.Describe(_assignment.Rank, _assignment.Size)}: {line}");
    }

    /// <summary>Writes a line to the file only.</summary>
    public void Append(string line) => IgnoreIoErrors(() =>
    {
        Directory.CreateDirectory(Folder);
        File.AppendAllText(Path, string.Create(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:yyyy-MM-dd HH:mm:ss} {line}\n"));
    });

    private static bool RankZeroReported(string line)
    {
        bool reported = false;
        IgnoreIoErrors(() => reported = Directory.Exists(Folder) && Directory.EnumerateFiles(Folder, "*-rank0.txt")
            .Where(file => DateTime.UtcNow - File.GetLastWriteTimeUtc(file) < Recently)
            .Any(file => File.ReadAllText(file).Contains(line, StringComparison.Ordinal)));
        return reported;
    }

    private static void IgnoreIoErrors(Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // There is nowhere else to report it.
        }
    }
}
