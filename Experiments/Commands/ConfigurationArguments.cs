using System.CommandLine;
using System.CommandLine.Parsing;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>How commands take a configuration: a file, and what the command line sets beside it.</summary>
internal static class ConfigurationArguments
{
    public static readonly Argument<string?> Config = new("CONFIG.yaml") { Arity = ArgumentArity.ZeroOrOne, Description = "The configuration; without it the program's own: configs/quickstart.yaml, on generated data (for bench configs/benchmark.yaml)" };
    public static readonly Option<string[]> Set = new("--set") { HelpName = "key=value", Description = "Sets one key of the configuration; may be repeated" };

    /// <summary>Where the configuration stands beside a file, which may have one.</summary>
    public static readonly Option<string?> Beside = new("--config") { HelpName = "CONFIG.yaml", Description = "Network and data, where the file does not say them: of all but checkpoints of imta train" };

    /// <summary>The settings of the command line.</summary>
    /// <param name="arguments">Of a command with <see cref="Config"/> and <see cref="Set"/>.</param>
    /// <param name="more">What options of their own set.</param>
    /// <param name="fallback">The configuration of the program that stands for a missing file.</param>
    /// <exception cref="UsageException">One line: what is wrong, where, what is wanted.</exception>
    public static Settings Read(ParseResult arguments, IEnumerable<SettingsOverride>? more = null, string fallback = "quickstart.yaml")
    {
        string file = arguments.GetValue(Config) ?? SettingsLoader.Own(fallback);
        return Load(file, arguments, more ?? []);
    }

    /// <summary>The settings of <see cref="Beside"/>, with those of <see cref="Set"/>; null: none are given.</summary>
    /// <exception cref="UsageException">One line: what is wrong, where, what is wanted.</exception>
    public static Settings? ReadBeside(ParseResult arguments)
    {
        if (arguments.GetValue(Beside) is { } file)
        {
            return Load(file, arguments, []);
        }

        return arguments.GetValue(Set) is [var set, ..]
            ? throw new UsageException($"--set {Terminal.OneLine(set)} has no configuration to change; give one with --config")
            : null;
    }

    /// <summary>The parser takes an option that it does not know for the configuration file.</summary>
    public static void RefuseUnknownOption(CommandResult result)
    {
        if (result.GetValue(Config) is { } name && name.StartsWith('-'))
        {
            result.AddError($"There is no option {name}.");
        }
    }

    private static Settings Load(string file, ParseResult arguments, IEnumerable<SettingsOverride> more)
    {
        Settings settings = SettingsLoader.Load(file, (arguments.GetValue(Set) ?? []).Select(SettingsOverride.Parse).Concat(more));
        return settings with { Name = settings.Name ?? NameOf(file) };
    }

    /// <summary>The configuration file's name, in the characters that a run's name may have.</summary>
    private static string NameOf(string file)
    {
        string name = string.Concat(Path.GetFileNameWithoutExtension(file).Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' ? c : '-')).TrimStart('.', '_', '-');
        return name.Length == 0 ? "run" : name[..Math.Min(name.Length, 100)];
    }
}
