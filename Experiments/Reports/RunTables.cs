using System.Globalization;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>Tables of the runs, their differing settings, and their environments.</summary>
internal static class RunTables
{
    private const int MostColumns = 8; // for runs; if there are more, each gets a row
    private static readonly string[] PerRunKeys =
        ["start", "command_line", "initial_weights", "extends", "sessions", "training_seconds"];

    public static Table Runs(IReadOnlyList<ReportEntry> entries) => new(
        "runs", "Runs", "The folders as given, their contents (config.yaml, epochs.csv), and when and how the runs were started "
            + "(environment.json).",
        ["run", "seed", "folder", "epochs", "data", "backbone", "started (UTC)", "command line"],
        [.. from entry in entries
            from run in entry.Runs
            select (string[])[entry.Name, run.Seed, run.Folder, EpochsOf(run),
                run.Config.GetValueOrDefault("data.dataset", ""), run.Config.GetValueOrDefault("model.backbone", ""),
                run.Environment.GetValueOrDefault("start", ""), run.Environment.GetValueOrDefault("command_line", "")]]);

    /// <summary>Settings that differ between runs; seeds are in the list of runs.</summary>
    public static Block Differences(IReadOnlyList<ReportEntry> entries)
    {
        string[] keys = [.. entries.SelectMany(entry => entry.First.Config.Keys).Distinct()
            .Where(
                key
                    => key is not ("name" or "seed")
                        && entries.Select(entry => entry.First.Config.GetValueOrDefault(key)).Distinct().Skip(1).Any())];
        const string Title = "Configuration differences";
        string[] head = ["setting", .. entries.Select(entry => entry.Name)];
        string[][] rows = [.. keys.Select(key => (string[])[key, .. entries.Select(entry => ValueOf(entry, key))])];
        if (entries.Count > MostColumns)
        {
            head = ["run", .. keys];
            rows = [.. entries.Select(entry => (string[])[entry.Name, .. keys.Select(key => ValueOf(entry, key))])];
        }

        return keys.Length == 0
            ? new Note(
                "differences", Title,
                entries.Count == 1
                    ? "There is only one configuration; see the run's config.yaml."
                    : "Only names and seeds differ (config.yaml).")
            : new Table("differences", Title, "The settings whose values differ between configurations (config.yaml; for a variant, that "
                + "of its first run); – if a configuration does not have the key.", head, rows);
    }

    private static string ValueOf(ReportEntry entry, string key) => entry.First.Config.GetValueOrDefault(key, "–");

    /// <summary>Each value with the runs that share it.</summary>
    public static Block Environment(IReadOnlyList<ReportEntry> entries)
    {
        var values = (from entry in entries
                      from run in entry.Runs
                      from pair in run.Environment
                      where !PerRunKeys.Contains(pair.Key)
                      select (pair.Key, pair.Value, Run: entry.Runs.Count == 1 ? entry.Name : $"{entry.Name}, seed {run.Seed}")).ToArray();
        int all = entries.Sum(entry => entry.Runs.Count);
        const string Title = "Machine and software";
        return values.Length == 0
            ? new Note("environment", Title, "Not shown: no run has environment.json.")
            : new Table("environment", Title, "The hardware and software the runs used (environment.json).", ["", "value", "runs"],
                [.. values.GroupBy(value => value.Key).SelectMany(key => key.GroupBy(value => value.Value).Select(same => (string[])
                    [key.Key, same.Key, same.Count() == all ? "all" : string.Join("; ", same.Select(value => value.Run))]))]);
    }

    private static string EpochsOf(ReportedRun run)
    {
        int done = run.Epochs.Select(row => row.Epoch).DefaultIfEmpty().Max();
        return done.ToString(CultureInfo.InvariantCulture) + (run.Anytime.Count == 0 ? ", unfinished" : "");
    }
}
