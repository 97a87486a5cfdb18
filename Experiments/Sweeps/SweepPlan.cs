using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>One run of a sweep.</summary>
/// <param name="Variant">The variant.</param>
/// <param name="Seed">The seed.</param>
/// <param name="Overrides">Overrides of the sweep's configuration, in order.</param>
/// <param name="Settings">Its complete settings.</param>
internal sealed record SweepRun(string Variant, int Seed, IReadOnlyList<SettingsOverride> Overrides, Settings Settings);

/// <summary>
/// The content of a sweep file: <c>config</c> (a configuration, relative to it), <c>seeds</c>, <c>set</c> (settings of all runs),
/// <c>variants</c> (named settings), <c>grid</c> (lists of values; all combinations, for every variant), <c>baseline</c> (the variant to
/// compare with; in a grid with variants also one of those, compared at the same grid point).
/// </summary>
/// <param name="File">The sweep file.</param>
/// <param name="Config">The configuration file; null: the built-in configuration.</param>
/// <param name="Variants">All names, in the file's order.</param>
/// <param name="Baselines">The baseline of each variant except the baselines themselves; empty: no comparison.</param>
/// <param name="Runs">The runs, by seed, then variant.</param>
/// <param name="Earlier">The runs of other seeds that the sweep's folder knows: they are not run, and stay in the tables.</param>
/// <param name="Given">What the command line adds to the file; empty: nothing.</param>
internal sealed record SweepPlan(
    string File, string? Config, IReadOnlyList<string> Variants, IReadOnlyDictionary<string, string> Baselines,
    IReadOnlyList<SweepRun> Runs, IReadOnlyList<SweepRun> Earlier, string Given)
{
    private const int MaxRuns = 10_000;
    private const int MaxNameLength = 100;

    private static readonly string[] Keys = ["config", "seeds", "baseline", "set", "variants", "grid"];

    /// <summary>Reads a sweep file and checks every run's settings.</summary>
    /// <param name="file">The file.</param>
    /// <param name="data">The folder of the data set (<c>--data</c>); null: as configured.</param>
    /// <param name="overrides">Further settings of all runs (<c>--set</c>), which variants and grid override.</param>
    /// <param name="seeds">Seeds, separated by commas (<c>--seeds</c>); null: the file's.</param>
    /// <param name="earlier">The seeds that the sweep's folder knows.</param>
    /// <exception cref="UsageException">One line: what is wrong, where, and what is expected.</exception>
    public static SweepPlan Load(
        string file,
        string? data,
        IReadOnlyList<SettingsOverride>? overrides = null,
        string? seeds = null,
        IEnumerable<int>? earlier = null)
    {
        IReadOnlyList<YamlEntry> entries = YamlReader.ReadKeys(SettingsLoader.ReadText(file), file);
        foreach (YamlEntry entry in entries.Where(entry => !Keys.Contains(entry.Key.Split('.')[0])))
        {
            throw new UsageException(
                $"{entry.Where}: unknown key {Terminal.Sanitize(entry.Key)}; a sweep file has {string.Join(", ", Keys)}");
        }

        string? config = Text(entries, "config") is { } beside ? Path.Combine(Path.GetDirectoryName(file) ?? "", beside) : null;
        SettingsOverride[] common =
        [
            .. OfGroup(entries, "set").Select(ToOverride), .. (overrides ?? []).Select(NotReserved),
            .. data is null ? [] : (SettingsOverride[])[new("--data", "data.root", Path.GetFullPath(data), IsText: true)],
        ];
        int[] all = Seeds(entries, seeds);
        CheckCount(file, entries, all.Length);
        var variants = AllVariants(entries).ToArray();
        Dictionary<string, string> baselines = BaselinesOf(variants, entries);
        SweepRun[] RunsOf(IEnumerable<int> seeds)
            => [.. from seed in seeds from variant in variants select Run(config, common, variant.Name, variant.Settings, seed)];

        SweepRun[] runs = RunsOf(all);
        string[] chosen = seeds is null ? [] : [$"--seeds {Terminal.Sanitize(seeds)}"];
        string given = string.Join(' ', (overrides ?? []).Select(one => one.Source).Concat(chosen));
        return runs.GroupBy(run => run.Settings with { Name = null }).FirstOrDefault(same => same.Count() > 1)?.ToArray() is { } equal
            ? throw new UsageException($"{file}: the variants {equal[0].Variant} and {equal[1].Variant} have the same settings; "
                + "remove one of them")
            : new SweepPlan(
                file, config, [.. variants.Select(variant => variant.Name)], baselines, runs, RunsOf((earlier ?? []).Except(all)), given);
    }

    /// <summary>Counts the runs before expanding the grid.</summary>
    private static void CheckCount(string file, IReadOnlyList<YamlEntry> entries, int seeds)
    {
        double runs = Names(entries).DefaultIfEmpty("").Count() * (double)seeds;
        runs = OfGroup(entries, "grid").Aggregate(runs, (product, axis) => product * (axis.Value is YamlList list ? list.Items.Count : 1));
        if (runs > MaxRuns)
        {
            throw new UsageException(FormattableString.Invariant($"{file} asks for {runs} runs; at most {MaxRuns} are allowed"));
        }
    }

    private static IEnumerable<string> Names(IReadOnlyList<YamlEntry> entries)
    {
        CheckGroup(entries, "variants");
        return entries.Where(entry => entry.Key.StartsWith("variants.", StringComparison.Ordinal)).Select(entry => entry.Key.Split('.')[1])
            .Distinct();
    }

    private static SweepRun Run(string? config, SettingsOverride[] common, string variant, SettingsOverride[] settings, int seed)
    {
        string name = string.Concat(variant.Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' ? c : '-'));
        SettingsOverride[] all =
        [
            new("variant", "name", name, IsText: true), .. common, .. settings, new(
                "seeds", "seed", seed.ToString(CultureInfo.InvariantCulture)),
        ];
        Settings complete = SettingsLoader.Load(config ?? SettingsLoader.BundledPath("quickstart.yaml"), all);
        return new SweepRun(variant, seed, all, PictureFolders.WithClasses(complete));
    }

    private static Dictionary<string, string> BaselinesOf(
        (string Name, string Point, SettingsOverride[] Settings)[] variants, IReadOnlyList<YamlEntry> entries)
    {
        if (Text(entries, "baseline") is not { } baseline)
        {
            return [];
        }

        string Reference(string point) => variants.Any(variant => variant.Name == baseline) ? baseline : $"{baseline},{point}";
        var baselines = variants.ToDictionary(variant => variant.Name, variant => Reference(variant.Point));
        if (baselines.Values.Any(reference => !baselines.ContainsKey(reference)))
        {
            throw new UsageException($"{Where(entries, "baseline")}: unknown variant {Terminal.Sanitize(baseline)}; the variants are "
                + $"{string.Join(", ", variants.Take(10).Select(variant => variant.Name))}{(variants.Length > 10 ? ", ..." : "")}");
        }

        return baselines.Where(pair => pair.Key != pair.Value).ToDictionary();
    }

    /// <summary>The named variants, or a single unnamed one, times the grid.</summary>
    private static IEnumerable<(string Name, string Point, SettingsOverride[] Settings)> AllVariants(IReadOnlyList<YamlEntry> entries)
    {
        (string Name, SettingsOverride[] Settings)[] points = [.. Grid(entries)];
        var seen = new HashSet<string>();
        foreach (string name in Names(entries).DefaultIfEmpty(""))
        {
            SettingsOverride[] own = name.Length == 0 ? [] : [.. OfGroup(entries, $"variants.{name}").Select(ToOverride)];
            foreach ((string point, SettingsOverride[] settings) in points)
            {
                string whole = string.Join(',', new[] { name, point }.Where(part => part.Length > 0));
                yield return (Checked(whole.Length == 0 ? "all" : whole), point, [.. own, .. settings]);
            }
        }

        string Checked(string name) => !seen.Add(name)
            ? throw new UsageException($"two variants are both named {name}; change one of them")
            : name.Length <= MaxNameLength && char.IsAsciiLetterOrDigit(name[0])
                && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' or '=' or ',' or '+')
                ? name
                : throw new UsageException($"{Terminal.Sanitize(name)} is not a valid variant name; a name starts with a letter or digit "
                    + $"and has at most {MaxNameLength} letters, digits or . _ - +");
    }

    /// <summary>All combinations of the grid's values; a single empty one without a grid.</summary>
    private static IEnumerable<(string Name, SettingsOverride[] Settings)> Grid(IReadOnlyList<YamlEntry> entries)
    {
        YamlEntry[] axes = [.. OfGroup(entries, "grid")];
        string[] shorts = [.. axes.Select(axis => axis.Key.Split('.')[^1])];
        IEnumerable<(string Name, SettingsOverride[] Settings)> points = [("", [])];
        for (int a = 0; a < axes.Length; a++)
        {
            YamlEntry axis = axes[a];
            string shown = shorts.Count(other => other == shorts[a]) == 1 ? shorts[a] : axis.Key;
            if (ReservedKeyProblem(axis.Where, axis.Key) is { } problem)
            {
                throw new UsageException(problem);
            }

            IReadOnlyList<YamlScalar> values = axis.Value is YamlList { Items: { Count: > 0 } items }
                ? items
                : throw new UsageException($"{axis.Where}: grid.{axis.Key} is {axis.Value}; it must be a list of values, such as [0.5, 1]");
            points = [.. from point in points
                         from value in values
                         select (string.Join(',', new[] { point.Name, $"{shown}={Plain(value.Text)}" }.Where(part => part.Length > 0)),
                             (SettingsOverride[])[.. point.Settings, new(axis.Where, axis.Key, value.Text)])];
        }

        return points;
    }

    /// <summary>A value as part of a name: <c>1-2</c> for the list <c>[1, 2]</c>.</summary>
    private static string Plain(string value)
        => string.Join('-', value.Split([' ', ',', '[', ']', '/'], StringSplitOptions.RemoveEmptyEntries));

    private static int[] Seeds(IReadOnlyList<YamlEntry> entries, string? given)
    {
        YamlValue? value = given is null
            ? entries.FirstOrDefault(entry => entry.Key == "seeds")?.Value
            : new YamlList([.. given.Split(',', StringSplitOptions.TrimEntries).Select(seed => new YamlScalar(seed, false))]);
        IReadOnlyList<YamlScalar> items = value switch
        {
            null => [new YamlScalar("0", false)],
            YamlList list => list.Items,
            _ => [],
        };
        int[] seeds =
        [
            .. items.Select(item => int.TryParse(item.Text, NumberStyles.None, CultureInfo.InvariantCulture, out int seed) ? seed : -1),
        ];
        return seeds.Length > 0 && seeds.All(seed => seed >= 0) && seeds.Distinct().Count() == seeds.Length
            ? seeds
            : throw new UsageException(
                $"{(given is null ? Where(entries, "seeds") : "--seeds")}: seeds is {value}; it must be a list of distinct integers >= 0"
                + $"{string.Concat(items.Select(item => SettingsValue.LimitNote(item.Text)).Distinct())}, such as [0, 1, 2]");
    }

    /// <summary>The settings of a group, without the group prefix.</summary>
    private static IEnumerable<YamlEntry> OfGroup(IReadOnlyList<YamlEntry> entries, string group)
    {
        CheckGroup(entries, group);
        return entries.Where(entry => entry.Key.StartsWith(group + ".", StringComparison.Ordinal) && entry.Value is not YamlGroup)
            .Select(entry => entry with { Key = entry.Key[(group.Length + 1)..] });
    }

    private static void CheckGroup(IReadOnlyList<YamlEntry> entries, string group)
    {
        if (entries.FirstOrDefault(entry => entry.Key == group) is { Value: not YamlGroup and { IsNull: false } } head)
        {
            throw new UsageException(
                $"{head.Where}: {Terminal.Sanitize(group)} is {head.Value}; it must contain settings, as in a configuration");
        }
    }

    private static SettingsOverride NotReserved(SettingsOverride given)
        => ReservedKeyProblem(given.Source, given.Key) is { } problem ? throw new UsageException(problem) : given;

    private static SettingsOverride ToOverride(YamlEntry entry) => entry.Value switch
    {
        _ when ReservedKeyProblem(entry.Where, entry.Key) is { } problem => throw new UsageException(problem),
        YamlScalar { Quoted: true } text => new(entry.Where, entry.Key, text.Text, IsText: true),
        YamlScalar plain => new(entry.Where, entry.Key, plain.Text),
        _ => new(entry.Where, entry.Key, $"[{string.Join(", ", ((YamlList)entry.Value).Items.Select(item => item.Text))}]"),
    };

    /// <summary>The problem with a key that is reserved for the sweep; null if it is not reserved.</summary>
    private static string? ReservedKeyProblem(string where, string key) => key switch
    {
        "seed" => $"{where}: a sweep's seeds belong under its key seeds, not among settings",
        "name" => $"{where}: a sweep names its runs after their variants; remove name",
        _ => null,
    };

    private static string? Text(IReadOnlyList<YamlEntry> entries, string key) => entries.FirstOrDefault(entry => entry.Key == key) switch
    {
        null or { Value.IsNull: true } => null,
        { Value: YamlScalar scalar } => scalar.Text,
        var other => throw new UsageException($"{other.Where}: {key} is {other.Value}; it must be a single name"),
    };

    private static string Where(IReadOnlyList<YamlEntry> entries, string key) => entries.First(entry => entry.Key == key).Where;
}
