using System.CommandLine;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta completion bash|powershell</c>: the script with which a shell completes commands, options and settings.</summary>
internal static class CompletionCommand
{
    // Both pass the line to the program's directive [suggest:POSITION], with the program's name replaced by imta.
    private const string Bash = """
        _imta() {
          local IFS=$'\n' program=${COMP_WORDS[0]} word=${COMP_LINE:0:COMP_POINT} found
          word=${word##*[[:space:]]}
          found=$("${program/#\~/$HOME}" "[suggest:$((COMP_POINT - ${#program} + 4))]" "imta${COMP_LINE#"$program"}" 2>/dev/null)
          COMPREPLY=($(compgen -W "$found" -- "$word"))
          [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
        }
        complete -o default -F _imta imta ./imta

        """;

    private const string PowerShell = """
        Register-ArgumentCompleter -Native -CommandName imta, ./imta, imta.cmd -ScriptBlock {
            param($word, $ast, $position)
            $end = $ast.CommandElements[0].Extent.EndOffset
            $line = $ast.Extent.Text.Substring($end - $ast.Extent.StartOffset).PadRight($position - $end)
            & $ast.GetCommandName() "[suggest:$(4 + $position - $end)]" "imta$line" 2>$null |
                Where-Object { $_ -like "$word*" } |
                ForEach-Object { [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }
        }

        """;

    private static readonly Argument<string> Shell = new("SHELL")
    {
        Description = "bash or powershell",
        CompletionSources = { "bash", "powershell" },
    };

    public static Command Build()
    {
        var command = new Command("completion", "Print the script with which a shell completes commands, options and settings") { Shell };
        command.SetAction(arguments => Console.Out.Write(arguments.GetValue(Shell) switch
        {
            "bash" => Bash,
            "powershell" => PowerShell,
            var other => throw new UsageException($"SHELL is {Terminal.Sanitize(other!)}; it must be bash or powershell"),
        }));
        return command;
    }
}
