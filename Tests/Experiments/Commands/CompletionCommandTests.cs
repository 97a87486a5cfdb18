using System.Diagnostics;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>The scripts of <c>imta completion</c>, run by the shells that they are for.</summary>
public sealed class CompletionCommandTests : IDisposable
{
    private static readonly string[] Lines = ["imta tr", "imta train --se", "imta train --set train.ep", "imta completion p"];
    private static readonly string[] Expected = ["train", "--seed --set", "train.epochs=", "powershell"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Bash_completes_commands_options_and_settings() => Complete("bash", "complete.sh", """
        source <(imta completion bash)
        while IFS= read -r COMP_LINE; do
          COMP_POINT=${#COMP_LINE} COMP_WORDS=($COMP_LINE)
          _imta
          echo "${COMPREPLY[*]}"
        done < lines.txt
        """);

    [Fact]
    public void PowerShell_completes_them_too() => Complete("pwsh", "complete.ps1", """
        imta completion powershell | Out-String | Invoke-Expression
        foreach ($line in Get-Content lines.txt) {
            (TabExpansion2 -inputScript $line -cursorColumn $line.Length).CompletionMatches.CompletionText -join ' '
        }
        """);

    [Fact]
    public void Another_shell_is_refused() => _folder.Run(2, "completion", "fish").Error.Should()
        .Be("imta: SHELL is fish; it must be bash or powershell\n");

    private void Complete(string shell, string file, string script)
    {
        string[] path = Environment.GetEnvironmentVariable("PATH")!.Split(Path.PathSeparator);
        Skip.IfNot(path.Any(one => File.Exists(Path.Combine(one, shell))), $"there is no {shell}");
        File.WriteAllText(_folder.In(file), script + "\n");
        File.WriteAllLines(_folder.In("lines.txt"), Lines);
        var start = new ProcessStartInfo(shell, [_folder.In(file)]) { WorkingDirectory = _folder.Path, RedirectStandardOutput = true };
        start.Environment["PATH"] = AppContext.BaseDirectory + Path.PathSeparator + start.Environment["PATH"];
        using Process process = Process.Start(start)!;

        process.StandardOutput.ReadToEnd().TrimEnd().Split('\n').Select(line => line.TrimEnd()).Should().Equal(Expected);
    }
}
