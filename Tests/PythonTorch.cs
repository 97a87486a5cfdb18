using System.Diagnostics;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Tests;

/// <summary>The system's Python with PyTorch: the other side of a file.</summary>
internal static class PythonTorch
{
    private const string Python = "/usr/bin/python3";

    private static readonly Lazy<bool> HasTorch = new(() => File.Exists(Python) && Call("import torch", []).Code == 0); // takes seconds

    /// <summary>Skips the test where there is no PyTorch.</summary>
    public static void Require() => Skip.IfNot(HasTorch.Value, $"{Python} has no torch");

    /// <summary>What a script prints; the test is skipped where there is no PyTorch, and fails where the script does.</summary>
    public static string Run(string script, params string[] arguments)
    {
        Require();
        (int code, string output) = Call(script, arguments);
        code.Should().Be(0, output);
        return output;
    }

    private static (int Code, string Output) Call(string script, string[] arguments)
    {
        using var process = Process.Start(
            new ProcessStartInfo(Python, ["-c", script, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output + errors.Result);
    }
}
