using System.Diagnostics;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Sweeps;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Follows runs in progress, for <c>imta report --watch</c>. Changes nothing in their folders.</summary>
/// <param name="folders">Run and sweep folders.</param>
/// <param name="write">Writes the report of what is there; its argument says whether any run is in progress.</param>
internal sealed class ReportWatch(IReadOnlyList<string> folders, Action<bool> write)
{
    private const int RestPerWork = 4; // leaves the cores to the runs
    private const int MaxFailures = 2; // in a row

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    /// <summary>Writes now and after every change, until no process is training any of the runs, and then once more.</summary>
    /// <param name="stop">Ends it earlier, also after writing once more.</param>
    /// <exception cref="UsageException">A folder is not a run or sweep, or a table stays damaged.</exception>
    public void Run(CancellationToken stop)
    {
        string? written = null;
        int failures = 0;
        bool goesOn = true;
        do
        {
            var clock = Stopwatch.StartNew();
            try
            {
                goesOn = Watched().Any(IsInUse) && !stop.IsCancellationRequested; // first: a run that is over has written its last files
                string stamp = string.Join('\n', Watched().Select(RunReader.StampOf));
                if (stamp != written || !goesOn)
                {
                    write(goesOn);
                    written = stamp;
                }

                failures = 0;
            }
            catch (Exception e) when (
                (goesOn, failures) is (true, < MaxFailures) && e is UsageException or IOException or UnauthorizedAccessException)
            {
                failures++; // perhaps a table is being written, or a file replaced
            }

            TimeSpan rest = RestPerWork * clock.Elapsed;
            _ = goesOn && stop.WaitHandle.WaitOne(rest > Interval ? rest : Interval);
        }
        while (goesOn);
    }

    /// <summary>The folders, and those of the sweeps' runs.</summary>
    private IEnumerable<string> Watched() => folders.SelectMany(folder => SweepFolder.IsSweep(folder)
        ? CsvTable.Read<SweepRunRow>(new SweepFolder(folder).Runs).Select(row => Path.Combine(folder, row.Folder)).Prepend(folder)
        : [folder]);

    private static bool IsInUse(string folder)
    {
        try
        {
            return FolderLock.IsLocked(folder);
        }
        catch (UnauthorizedAccessException)
        {
            return true; // another user's lock, which is deleted when released
        }
    }
}
