using System.CommandLine;
using System.CommandLine.Parsing;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>
/// Problems with a command line. The parser takes an unknown option for an argument, and an option for another one's value: both are
/// detected here, for every command.
/// </summary>
internal static class UsageErrors
{
    /// <summary>The first problem, and where to find help; null: there is none.</summary>
    public static string? Find(ParseResult arguments)
    {
        if (Problem(arguments) is not { } problem)
        {
            return null;
        }

        var verbs = new List<string>();
        for (SymbolResult? at = arguments.CommandResult; at?.Parent is not null; at = at.Parent)
        {
            verbs.Insert(0, ((CommandResult)at).Command.Name);
        }

        return $"{problem} See {SelfProcess.CommandLine([.. verbs, "--help"])}.";
    }

    private static string? Problem(ParseResult arguments)
    {
        CommandResult command = arguments.CommandResult;
        string[] options = [.. command.Command.Options.Select(option => option.Name), "--help"];
        (SymbolResult Of, string Value)[] given =
        [
            .. command.Children.SelectMany(child => child.Tokens, (child, token) => (child, token.Value)),
        ];
        if (given.FirstOrDefault(one => one.Of is OptionResult && options.Append("--").Contains(one.Value)) is ({ } incomplete, var next))
        {
            return $"{NameOf(incomplete)} needs a value, but {next} follows it.";
        }

        IEnumerable<string> misplaced = given.Where(one => one.Of is ArgumentResult).Select(one => one.Value)
            .Concat(arguments.UnmatchedTokens);
        if (misplaced.FirstOrDefault(value => value.StartsWith('-')) is { } unknown)
        {
            return $"Unknown option {Terminal.Sanitize(unknown)}{NearestKey.Suggestion(unknown, options)}";
        }

        if (given.FirstOrDefault(one => one.Value.Length == 0).Of is { } empty)
        {
            return $"{NameOf(empty)} is empty.";
        }

        string[] verbs = [.. command.Command.Subcommands.Select(known => known.Name)];
        return verbs.Length > 0 && arguments.UnmatchedTokens is [var verb, ..]
            ? $"Unknown command {Terminal.Sanitize(verb)}{NearestKey.Suggestion(verb, verbs)}"
            : arguments.Errors.Count > 0 ? arguments.Errors[^1].Message : null; // the last is a validator's, if there is one
    }

    private static string NameOf(SymbolResult result)
        => result is OptionResult option ? option.Option.Name : ((ArgumentResult)result).Argument.Name;
}
