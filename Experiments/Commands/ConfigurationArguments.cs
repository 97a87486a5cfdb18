using System.CommandLine;
using System.CommandLine.Parsing;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>How commands take a configuration: a file, and what the command line sets beside it.</summary>
internal static class ConfigurationArguments
{
    public static readonly Argument<string?> Config = new("CONFIG.yaml") { Arity = ArgumentArity.ZeroOrOne, Description = "The configuration; without it the program's own: configs/quickstart.yaml, on generated data (for bench configs/benchmark.yaml)" };
    public static readonly Option<string[]> Set = new("--set") { HelpName = "key=value", Description = "Sets one key of the configuration; may be repeated" };

    /// <summary>The settings of the command line.</summary>
    /// <param name="arguments">Of a command with <see cref="Config"/> and <see cref="Set"/>.</param>
    /// <param name="more">What options of their own set.</param>
    /// <param name="fallback">The configuration of the program that stands for a missing file.</param>
    /// <exception cref="UsageException">One line: what is wrong, where, what is wanted.</exception>
    public static Settings Read(ParseResult arguments, IEnumerable<SettingsOverride>? more = null, string fallback = "quickstart.yaml")
    {
        IEnumerable<SettingsOverride> set = (arguments.GetValue(Set) ?? []).Select(SettingsOverride.Parse);
        string file = arguments.GetValue(Config) ?? Path.Combine(AppContext.BaseDirectory, "configs", fallback);
        Settings settings = SettingsLoader.Load(file, set.Concat(more ?? []));
        return settings with { Name = settings.Name ?? NameOf(file) };
    }

    /// <summary>The parser takes an option that it does not know for the configuration file.</summary>
    public static void RefuseUnknownOption(CommandResult result)
    {
        if (result.GetValue(Config) is { } name && name.StartsWith('-'))
        {
            result.AddError($"There is no option {name}.");
        }
    }

    /// <summary>The configuration file's name, in the characters that a run's name may have.</summary>
    private static string NameOf(string file)
    {
        string name = string.Concat(Path.GetFileNameWithoutExtension(file).Select(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_' or '-' ? c : '-')).TrimStart('.', '_', '-');
        return name.Length == 0 ? "run" : name[..Math.Min(name.Length, 100)];
    }
}
