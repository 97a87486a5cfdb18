using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>
/// What a sweep file says: <c>config</c> (a configuration, relative to it), <c>seeds</c>, <c>set</c> (settings of all runs),
/// <c>variants</c> (named settings), <c>grid</c> (lists of values; all combinations, for every variant), <c>baseline</c> (the variant to
/// compare with; in a grid with variants it may also be one of these, compared at the same grid point).
/// </summary>
internal sealed class SweepFile
{
    private const int MaxRuns = 10_000;
    private const int MaxNameLength = 100;

    private const string VariantsKey = "variants";
    private static readonly string[] Keys = ["config", "seeds", "baseline", "set", VariantsKey, "grid"];

    private readonly string _path;
    private readonly IReadOnlyList<YamlEntry> _entries;

    /// <param name="path">The file.</param>
    /// <exception cref="UsageException">It does not exist or is not a sweep file.</exception>
    public SweepFile(string path)
    {
        (_path, _entries) = (path, YamlReader.ReadKeys(SettingsLoader.ReadText(path), path, named: VariantsKey));
        foreach (YamlEntry entry in _entries.Where(entry => !Keys.Contains(entry.Path[0])))
        {
            throw new UsageException(
                $"{entry.Where}: unknown key {Terminal.Sanitize(entry.Key)}; a sweep file has {string.Join(", ", Keys)}");
        }
    }

    /// <summary>The configuration file; null: the built-in configuration.</summary>
    public string? Config => Text("config") is { } beside ? Path.Combine(Path.GetDirectoryName(_path) ?? "", beside) : null;

    /// <summary>The settings of all runs.</summary>
    public IEnumerable<SettingsOverride> Common => OfGroup("set").Select(ToOverride);

    /// <summary>The seeds, from the file or the command line.</summary>
    /// <param name="given">Seeds, separated by commas (<c>--seeds</c>); null: the file's, or 0.</param>
    /// <exception cref="UsageException">They are not distinct integers from 0.</exception>
    public int[] Seeds(string? given)
    {
        YamlValue? value = given is null
            ? _entries.FirstOrDefault(entry => entry.Key == "seeds")?.Value
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
                $"{(given is null ? Where("seeds") : "--seeds")}: seeds is {value}; it must be a list of distinct integers >= 0"
                + $"{string.Concat(items.Select(item => SettingsValue.LimitNote(item.Text)).Distinct())}, such as [0, 1, 2]");
    }

    /// <summary>Counts the runs before expanding the grid.</summary>
    /// <param name="seeds">The number of seeds.</param>
    /// <exception cref="UsageException">There are more than 10,000.</exception>
    public void CheckCount(int seeds)
    {
        double runs = Names().DefaultIfEmpty("").Count() * (double)seeds;
        runs = OfGroup("grid").Aggregate(runs, (product, axis) => product * (axis.Value is YamlList list ? list.Items.Count : 1));
        if (runs > MaxRuns)
        {
            throw new UsageException(FormattableString.Invariant($"{_path} asks for {runs} runs; at most {MaxRuns} are allowed"));
        }
    }

    /// <summary>The named variants, or a single unnamed one, times the grid.</summary>
    /// <exception cref="UsageException">An invalid name or grid, or a setting that is reserved for the sweep.</exception>
    public IEnumerable<SweepVariant> Variants()
    {
        (string Name, SettingsOverride[] Settings)[] points = [.. Grid()];
        var seen = new HashSet<string>();
        foreach (string name in Names().DefaultIfEmpty(""))
        {
            SettingsOverride[] own = name.Length == 0 ? [] : [.. OfGroup(VariantsKey, name).Select(ToOverride)];
            foreach ((string point, SettingsOverride[] settings) in points)
            {
                string whole = string.Join(',', new[] { name, point }.Where(part => part.Length > 0));
                yield return new SweepVariant(Checked(whole.Length == 0 ? "all" : whole), name, point, [.. own, .. settings]);
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

    /// <summary>The baseline of each variant except the baselines themselves; empty if the file has none.</summary>
    /// <param name="variants">All of <see cref="Variants"/>.</param>
    /// <exception cref="UsageException">There is no such variant.</exception>
    public Dictionary<string, string> Baselines(SweepVariant[] variants)
    {
        if (Text("baseline") is not { } baseline)
        {
            return [];
        }

        string Reference(string point) => variants.Any(variant => variant.Name == baseline) ? baseline : $"{baseline},{point}";
        var baselines = variants.ToDictionary(variant => variant.Name, variant => Reference(variant.Point));
        if (baselines.Values.Any(reference => !baselines.ContainsKey(reference)))
        {
            throw new UsageException($"{Where("baseline")}: {SweepVariant.Unknown(baseline, variants)}");
        }

        return baselines.Where(pair => pair.Key != pair.Value).ToDictionary();
    }

    /// <summary>A setting from the command line, which must not be one that the sweep sets itself.</summary>
    /// <exception cref="UsageException">It is one.</exception>
    public static SettingsOverride NotReserved(SettingsOverride given)
        => ReservedKeyProblem(given.Source, given.Key) is { } problem ? throw new UsageException(problem) : given;

    private IEnumerable<string> Names()
    {
        CheckGroup(VariantsKey);
        return _entries.Where(entry => entry.Path[0] == VariantsKey && entry.Path.Count > 1).Select(entry => entry.Path[1]).Distinct();
    }

    /// <summary>All combinations of the grid's values; a single empty one without a grid.</summary>
    private IEnumerable<(string Name, SettingsOverride[] Settings)> Grid()
    {
        YamlEntry[] axes = [.. OfGroup("grid")];
        string[] shorts = [.. axes.Select(axis => axis.Path[^1])];
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

    /// <summary>The settings of a group, without the group prefix.</summary>
    private IEnumerable<YamlEntry> OfGroup(params string[] group)
    {
        CheckGroup(group);
        return _entries.Where(entry => entry.Path.Count > group.Length && entry.Path.Take(group.Length).SequenceEqual(group))
            .Where(entry => entry.Value is not YamlGroup)
            .Select(entry => entry with { Path = [.. entry.Path.Skip(group.Length)] });
    }

    private void CheckGroup(params string[] group)
    {
        if (_entries.FirstOrDefault(entry => entry.Path.SequenceEqual(group)) is { Value: not YamlGroup and { IsNull: false } } head)
        {
            throw new UsageException(
                $"{head.Where}: {Terminal.Sanitize(head.Key)} is {head.Value}; it must contain settings, as in a configuration");
        }
    }

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

    private string? Text(string key) => _entries.FirstOrDefault(entry => entry.Key == key) switch
    {
        null or { Value.IsNull: true } => null,
        { Value: YamlScalar scalar } => scalar.Text,
        var other => throw new UsageException($"{other.Where}: {key} is {other.Value}; it must be a single name"),
    };

    private string Where(string key) => _entries.First(entry => entry.Key == key).Where;
}
