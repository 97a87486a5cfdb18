using System.Collections.Concurrent;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments;
using Microsoft.Win32.SafeHandles;
using Spectre.Console;

namespace Imta.MetaWeight.Tests.Experiments;

/// <summary>
/// A process that runs command lines one after another, each as <c>imta</c> would: libtorch is loaded and the code compiled once, which
/// takes a process longer than most commands do. Each test that waits for a command has one for itself.
/// </summary>
internal sealed partial class KeptProcess
{
    /// <summary>The argument that makes the tests' program such a process.</summary>
    public const string Program = "commands";

    private const int StandardInput = 0;
    private const int StandardOutput = 1;
    private const int StandardError = 2;
    private static readonly ConcurrentBag<KeptProcess> Idle = [];
    private readonly Process _process;

    private KeptProcess()
    {
        string[] command = ImtaProcess.Tests(Program);
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        start.Environment[SelfProcess.CalledAs] = "imta";
        start.Environment.Remove(TorchLibraries.VersionVariable); // which another test may have set in this process
        _process = Process.Start(start)!;
    }

    /// <summary>Runs a command to its end in an idle process, or in one more.</summary>
    public static ImtaProcess.Result Run(string folder, string[] arguments, TimeSpan patience)
    {
        KeptProcess kept = Idle.TryTake(out KeptProcess? idle) ? idle : new KeptProcess();
        using var texts = new TemporaryFolder();
        var request = new Request(folder, arguments, texts.In("output"), texts.In("error"));
        kept._process.StandardInput.WriteLine(JsonSerializer.Serialize(request));
        Task<string?> answer = kept._process.StandardOutput.ReadLineAsync();
        if (!answer.Wait(patience))
        {
            kept._process.Kill();
        }

        if (answer.Result is not { } code)
        {
            kept._process.Dispose();
            IEnumerable<string> said = new[] { request.Output, request.Error }.Where(File.Exists).Select(File.ReadAllText);
            throw new InvalidOperationException($"the command did not end, or its process did; it said: {string.Concat(said)}");
        }

        (string output, string error) = (File.ReadAllText(request.Output), File.ReadAllText(request.Error));

        Idle.Add(kept);
        return new ImtaProcess.Result(int.Parse(code), output, error);
    }

    /// <summary>Runs the commands that come by the standard input until that closes, as it does when the tests end.</summary>
    public static int Serve()
    {
        using var answers = new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true };
        using var requests = new StreamReader(new FileStream(new SafeFileHandle(CopyOf(StandardInput), ownsHandle: true), FileAccess.Read));
        using (FileStream nothing = File.OpenRead("/dev/null"))
        {
            Lead(StandardInput, nothing); // what a command starts reads no requests
        }

        while (requests.ReadLine() is { } line)
        {
            Request request = JsonSerializer.Deserialize<Request>(line)!;
            Environment.CurrentDirectory = request.Folder;
            using StreamWriter output = Redirect(StandardOutput, request.Output);
            using StreamWriter error = Redirect(StandardError, request.Error);
            Console.SetOut(output);
            Console.SetError(error);
            AnsiConsole.Console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
            int code = ImtaProgram.Run(request.Arguments);
            Environment.CurrentDirectory = AppContext.BaseDirectory; // the folder may go
            answers.WriteLine(code);
        }

        return 0;
    }

    /// <summary>Leads a descriptor, and so what libtorch writes too, to a new file.</summary>
    private static StreamWriter Redirect(int descriptor, string file)
    {
        using (FileStream content = File.Create(file))
        {
            Lead(descriptor, content);
        }

        Stream stream = descriptor == StandardOutput ? Console.OpenStandardOutput() : Console.OpenStandardError();
        return new StreamWriter(stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true };
    }

    private static void Lead(int descriptor, FileStream content)
    {
        if (Duplicate((int)content.SafeFileHandle.DangerousGetHandle(), descriptor) < 0)
        {
            throw new IOException($"descriptor {descriptor} cannot lead to {content.Name}");
        }
    }

    [LibraryImport("libc", EntryPoint = "dup")]
    private static partial int CopyOf(int descriptor);

    [LibraryImport("libc", EntryPoint = "dup2")]
    private static partial int Duplicate(int from, int to);

    private sealed record Request(string Folder, string[] Arguments, string Output, string Error);
}
