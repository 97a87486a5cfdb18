using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>One run of a sweep.</summary>
/// <param name="Variant">The variant.</param>
/// <param name="Seed">The seed.</param>
/// <param name="Overrides">Overrides of the sweep's configuration, in order.</param>
/// <param name="Settings">Its complete settings.</param>
internal sealed record SweepRun(string Variant, int Seed, IReadOnlyList<SettingsOverride> Overrides, Settings Settings)
{
    public bool UsesCuda => Settings.Device == "cuda";

    /// <summary>The epochs of all its phases.</summary>
    public int Epochs => TrainingPhase.ForRun(Settings)[^1].LastEpoch;
}

/// <summary>One variant of a sweep.</summary>
/// <param name="Name">Its full name.</param>
/// <param name="Group">The part of it that the file gives under <c>variants</c>; empty: none.</param>
/// <param name="Point">The part of it that says where it is in the grid; empty: there is none.</param>
/// <param name="Settings">Its settings.</param>
internal sealed record SweepVariant(string Name, string Group, string Point, IReadOnlyList<SettingsOverride> Settings)
{
    private const int Listed = 10;

    /// <summary>The message about a name that no variant has.</summary>
    public static string Unknown(string name, SweepVariant[] variants)
        => $"unknown variant {Terminal.Sanitize(name)}; the variants are "
            + $"{string.Join(", ", variants.Take(Listed).Select(variant => variant.Name))}{(variants.Length > Listed ? ", ..." : "")}";
}

/// <summary>What a sweep runs: a file's variants and seeds, or those that the command line chooses.</summary>
/// <param name="File">The sweep file.</param>
/// <param name="Config">The configuration file; null: the built-in configuration.</param>
/// <param name="Variants">All names, in the file's order.</param>
/// <param name="Baselines">The baseline of each variant except the baselines themselves; empty: no comparison.</param>
/// <param name="Runs">The runs, by seed, then variant.</param>
/// <param name="Others">The runs not chosen, also those of other seeds in the sweep's folder: not run, but kept in the tables.</param>
/// <param name="Given">What the command line adds to the file; empty: nothing.</param>
internal sealed record SweepPlan(
    string File, string? Config, IReadOnlyList<string> Variants, IReadOnlyDictionary<string, string> Baselines,
    IReadOnlyList<SweepRun> Runs, IReadOnlyList<SweepRun> Others, string Given)
{
    /// <summary>Reads a sweep file and checks every run's settings.</summary>
    /// <param name="file">The file.</param>
    /// <param name="data">The folder of the data set (<c>--data</c>); null: as configured.</param>
    /// <param name="overrides">Further settings of all runs (<c>--set</c>), which variants and grid override.</param>
    /// <param name="seeds">Seeds, separated by commas (<c>--seeds</c>); null: the file's.</param>
    /// <param name="chosen">The variants to run, by full name or without the grid point (<c>--variant</c>); null or empty: all.</param>
    /// <param name="known">The seeds that the sweep's folder knows.</param>
    /// <exception cref="UsageException">One line: what is wrong, where, and what is expected.</exception>
    public static SweepPlan Load(
        string file,
        string? data,
        IReadOnlyList<SettingsOverride>? overrides = null,
        string? seeds = null,
        IReadOnlyList<string>? chosen = null,
        IEnumerable<int>? known = null)
    {
        var content = new SweepFile(file);
        SettingsOverride[] common =
        [
            .. content.Common, .. (overrides ?? []).Select(SweepFile.NotReserved),
            .. data is null ? [] : (SettingsOverride[])[new("--data", "data.root", Path.GetFullPath(data), IsText: true)],
        ];
        int[] all = content.Seeds(seeds);
        content.CheckCount(all.Length);
        SweepVariant[] variants = [.. content.Variants()];
        Dictionary<string, string> baselines = content.Baselines(variants);
        HashSet<string> names = [.. (chosen ?? []).SelectMany(name => Named(name, variants))];
        SweepRun[] RunsOf(IEnumerable<int> seeds)
            => [.. from seed in seeds from variant in variants select Run(content.Config, common, variant, seed)];

        ILookup<bool, SweepRun> runs = RunsOf(all).ToLookup(run => names.Count == 0 || names.Contains(run.Variant));
        if (runs.SelectMany(group => group).GroupBy(run => run.Settings with { Name = null }).FirstOrDefault(same => same.Count() > 1)
            ?.ToArray() is { } equal)
        {
            throw new UsageException($"{file}: the variants {equal[0].Variant} and {equal[1].Variant} have the same settings; "
                + "remove one of them");
        }

        string[] given =
        [
            .. (overrides ?? []).Select(one => one.Source), .. seeds is null ? [] : (string[])[$"--seeds {Terminal.Sanitize(seeds)}"],
            .. (chosen ?? []).Select(name => $"--variant {name}"),
        ];
        return new SweepPlan(
            file, content.Config, [.. variants.Select(variant => variant.Name)], baselines, [.. runs[true]],
            [.. runs[false], .. RunsOf((known ?? []).Except(all))], string.Join(' ', given));
    }

    private static IEnumerable<string> Named(string name, SweepVariant[] variants)
    {
        string[] named = [.. variants.Where(variant => variant.Name == name || variant.Group == name).Select(variant => variant.Name)];
        return named.Length > 0 && name.Length > 0
            ? named
            : throw new UsageException($"--variant: {SweepVariant.Unknown(name, variants)}");
    }

    private static SweepRun Run(string? config, SettingsOverride[] common, SweepVariant variant, int seed)
    {
        string name = string.Concat(variant.Name.Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' ? c : '-'));
        SettingsOverride[] all =
        [
            new("variant", "name", name, IsText: true), .. common, .. variant.Settings, new(
                "seeds", "seed", seed.ToString(CultureInfo.InvariantCulture)),
        ];
        Settings complete = SettingsLoader.Load(config ?? SettingsLoader.BundledPath("quickstart.yaml"), all);
        return new SweepRun(variant.Name, seed, all, PictureFolders.WithClasses(complete));
    }
}
