using System.Globalization;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Reads runs, and rereads only those that have changed.</summary>
internal sealed class RunReader
{
    private static readonly string[] Extensions = [".csv", ".json", ".yaml"];

    private readonly Dictionary<string, (string Stamp, ReportedRun Run)> _runs = [];

    /// <exception cref="UsageException">The run's configuration or environment cannot be read.</exception>
    public ReportedRun Read(RunFolder folder)
    {
        string stamp = StampOf(folder.Path);
        if (!_runs.TryGetValue(folder.Path, out (string Stamp, ReportedRun Run) known) || known.Stamp != stamp)
        {
            _runs[folder.Path] = known = (stamp, new ReportedRun(folder));
        }

        return known.Run;
    }

    /// <summary>Changes with the tables and settings of a run or sweep; empty if there is no such folder.</summary>
    public static string StampOf(string folder)
    {
        var directory = new DirectoryInfo(folder);
        if (!directory.Exists)
        {
            return "";
        }

        IEnumerable<FileSystemInfo> files = directory.EnumerateFiles().Where(file => Extensions.Contains(file.Extension))
            .OrderBy(file => file.Name, StringComparer.Ordinal);
        return string.Join('\n', files.Append(new DirectoryInfo(Path.Combine(folder, "weights"))).Select(file => string.Create(
            CultureInfo.InvariantCulture,
            $"{file.FullName} {(file is FileInfo { Length: var length } ? length : 0)} {file.LastWriteTimeUtc.Ticks}")));
    }
}
