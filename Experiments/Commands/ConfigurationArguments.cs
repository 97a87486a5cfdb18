using System.CommandLine;
using System.CommandLine.Completions;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>How commands accept a configuration: a file plus command-line overrides.</summary>
internal static class ConfigurationArguments
{
    public static readonly Argument<string?> Config = new("CONFIG.yaml")
    {
        Arity = ArgumentArity.ZeroOrOne,
        Description = "The configuration; default: configs/quickstart.yaml, on generated data (for bench: configs/benchmark.yaml)",
    };
    public static readonly Option<string[]> Set = new("--set")
    {
        HelpName = "key=value",
        Description = "Override one configuration key; may be repeated",
        CompletionSources = { context => SettingsSchema.Keys.Select(key => new CompletionItem($"{key.Key}=")) },
    };

    /// <summary>The configuration option of commands whose main argument is another file, which may contain one.</summary>
    public static readonly Option<string?> ConfigOption = new("--config")
    {
        HelpName = "CONFIG.yaml",
        Description = "Configuration of the "
        + "network and data, required for any file that is not a checkpoint of imta train"
    };

    /// <summary>The settings given on the command line.</summary>
    /// <param name="arguments">The arguments of a command with <see cref="Config"/> and <see cref="Set"/>.</param>
    /// <param name="more">Overrides from dedicated options.</param>
    /// <param name="fallback">The bundled configuration to use if no file is given.</param>
    /// <exception cref="UsageException">One line: what is wrong, where, and what is expected.</exception>
    public static Settings Read(ParseResult arguments, IEnumerable<SettingsOverride>? more = null, string fallback = "quickstart.yaml")
    {
        string file = arguments.GetValue(Config) ?? SettingsLoader.BundledPath(fallback);
        return PictureFolders.WithClasses(Load(file, arguments, more ?? []));
    }

    /// <summary>The settings from <see cref="ConfigOption"/>, overridden by <see cref="Set"/>; null if neither is given.</summary>
    /// <param name="arguments">The arguments of a command with both options.</param>
    /// <param name="data">The data set's folder; null: the configuration's.</param>
    /// <exception cref="UsageException">One line: what is wrong, where, and what is expected.</exception>
    public static Settings? ReadConfigOption(ParseResult arguments, string? data = null)
    {
        if (arguments.GetValue(ConfigOption) is { } file)
        {
            return PictureFolders.WithClasses(Load(file, arguments, []), Directory.Exists(data) ? data : null);
        }

        string[] given = arguments.GetValue(Set) ?? [];
        return (given.FirstOrDefault(set => !IsEvaluationExport(SettingsOverride.Parse(set))) ?? given.FirstOrDefault()) is { } set
            ? throw new UsageException($"--set {Terminal.Sanitize(set)} has no configuration to override; give one with --config")
            : null;
    }

    /// <summary>
    /// What <see cref="Set"/> changes in a trained network's own configuration: which files an evaluation writes. Empty if it gives
    /// other settings too, or <see cref="ConfigOption"/> is given.
    /// </summary>
    /// <exception cref="UsageException">A setting has no key.</exception>
    public static IReadOnlyList<SettingsOverride> EvaluationExports(ParseResult arguments)
    {
        SettingsOverride[] given = [.. (arguments.GetValue(Set) ?? []).Select(SettingsOverride.Parse)];
        return given.All(IsEvaluationExport) && arguments.GetValue(ConfigOption) is null ? given : [];
    }

    private static bool IsEvaluationExport(SettingsOverride given) => given.Key is "export.logits" or "export.predictions";

    private static Settings Load(string file, ParseResult arguments, IEnumerable<SettingsOverride> more)
    {
        Settings settings = SettingsLoader.Load(file, (arguments.GetValue(Set) ?? []).Select(SettingsOverride.Parse).Concat(more));
        return settings with { Name = settings.Name ?? NameOf(file) };
    }

    /// <summary>The configuration file's name, restricted to the characters allowed in run names.</summary>
    private static string NameOf(string file)
    {
        string name = string.Concat(
            Path.GetFileNameWithoutExtension(file).Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' ? c : '-'))
            .TrimStart('.', '_', '-');
        return name.Length == 0 ? "run" : name[..Math.Min(name.Length, 100)];
    }
}
