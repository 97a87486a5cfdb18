using System.CommandLine;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta config [--explain KEY | --json | --schema]</c>: lists or explains the configuration keys.</summary>
internal static class ConfigCommand
{
    private static readonly Option<string?> Explain = new("--explain")
    {
        HelpName = "KEY",
        Description = "Explain one key, or list the "
        + "keys of one group such as meta.wpn"
    };

    private static readonly Option<bool> Json = new("--json") { Description = "Print every key with its default, as JSON" };
    private static readonly Option<bool> Schema = new("--schema")
    {
        Description = "Print a JSON Schema of configuration files, with which an editor completes and checks them",
    };

    public static Command Build()
    {
        var command = new Command("config", "List every configuration key with its default, range and meaning") { Explain, Json, Schema };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        (bool json, bool schema) = (arguments.GetValue(Json), arguments.GetValue(Schema));
        string? name = arguments.GetValue(Explain);
        if ((json ? 1 : 0) + (schema ? 1 : 0) + (name is null ? 0 : 1) > 1)
        {
            throw new UsageException("--explain, --json and --schema are mutually exclusive; give one of them");
        }

        if (json || schema)
        {
            Console.Out.WriteLine(json ? SettingsJson.Text(new Settings()) : SettingsJson.Schema());
        }
        else if (name is null)
        {
            Show(SettingsSchema.Keys);
        }
        else if (SettingsSchema.Find(name) is { } key)
        {
            Describe(key);
        }
        else if (SettingsSchema.Groups.Contains(name))
        {
            Show([.. SettingsSchema.Keys.Where(member => member.Key.StartsWith(name + ".", StringComparison.Ordinal))]);
        }
        else
        {
            throw new UsageException($"there is no key {Terminal.Sanitize(name)}; {NearestKey.Hint(name)}");
        }

        return 0;
    }

    private static void Show(IReadOnlyList<SettingsKey> keys) => ConsoleTable.Write(
        ["key", "default", "range", "meaning"],
        [.. keys
            .GroupBy(key => key.Key[..Math.Max(key.Key.LastIndexOf('.'), 0)])
            .Select(group => group.Select(key => (string[])[key.Key, key.Default, Range(key), key.Meaning]).ToArray())]);

    private static void Describe(SettingsKey key)
    {
        Console.Out.WriteLine(key.Key);
        Console.Out.WriteLine($"  meaning  {key.Meaning}");
        Console.Out.WriteLine($"  type     {key.Type}");
        Console.Out.WriteLine($"  default  {key.Default}");
        Console.Out.WriteLine($"  range    {Range(key)}");
        Console.Out.WriteLine($"  set by   --set {Argument(key)}, or in a configuration file:");
        string[] segments = key.Key.Split('.');
        for (int depth = 0; depth < segments.Length; depth++)
        {
            string value = depth == segments.Length - 1 ? " " + key.Default : "";
            Console.Out.WriteLine($"             {new string(' ', 2 * depth)}{segments[depth]}:{value}");
        }
    }

    private static string Range(SettingsKey key) => key.IsNullable ? $"{key.Range}, or null" : key.Range;

    /// <summary>The key's default as an argument of <c>--set</c>, quoted for the shell if it has spaces.</summary>
    private static string Argument(SettingsKey key)
        => key.Default.Contains(' ', StringComparison.Ordinal) ? $"'{key.Key}={key.Default}'" : $"{key.Key}={key.Default}";
}
