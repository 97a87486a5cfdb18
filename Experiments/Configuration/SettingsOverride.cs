namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>A setting given on the command line; it overrides the file, and later ones override earlier ones.</summary>
/// <param name="Source">How the user wrote it, for messages: <c>--set meta.q=1</c>, <c>--seed</c>.</param>
/// <param name="Key">Dotted key.</param>
/// <param name="Value">Its value as YAML, a single value or a list in brackets; with <paramref name="IsText"/> the literal text.</param>
/// <param name="IsText">Whether the value is literal text (a path), not YAML.</param>
internal sealed record SettingsOverride(string Source, string Key, string Value, bool IsText = false)
{
    /// <summary>Reads the argument of <c>--set</c>: <c>key=value</c>.</summary>
    /// <exception cref="UsageException">It has no key or no equals sign.</exception>
    public static SettingsOverride Parse(string argument)
    {
        ArgumentNullException.ThrowIfNull(argument);
        var source = $"--set {Terminal.Sanitize(argument)}";
        var split = argument.IndexOf('=', StringComparison.Ordinal);
        var key = split < 0 ? "" : argument[..split].Trim();
        return key.Length > 0
            ? new SettingsOverride(source, key, argument[(split + 1)..])
            : throw new UsageException($"{source}: expected key=value, such as --set meta.q=0.75");
    }

    /// <summary>Overrides for the device and number of threads, if given, for a run that was trained on another machine.</summary>
    /// <param name="device">Value of <c>device</c>; null: the run's.</param>
    /// <param name="threads">Value of <c>threads</c>; null: the run's.</param>
    /// <param name="prefix">How the user writes their names, in messages.</param>
    public static IReadOnlyList<SettingsOverride> ForMachine(string? device, int? threads, string prefix = "")
    {
        (string Key, object? Value)[] given = [("device", device), ("threads", threads)];
        return
        [
            .. given.Where(one => one.Value is not null).Select(
                one => new SettingsOverride(prefix + one.Key, one.Key, FormattableString.Invariant($"{one.Value}"))),
        ];
    }
}
