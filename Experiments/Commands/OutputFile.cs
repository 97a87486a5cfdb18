using System.CommandLine;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>A file or folder that a command writes; an existing one is replaced only with <c>--force</c>.</summary>
internal static class OutputFile
{
    private const string Location = "location with --out";

    /// <summary>The option of every command that writes a file named by the user.</summary>
    public static readonly Option<bool> Force = new("--force") { Description = "Overwrite existing files" };

    /// <summary>Fails early if a file must not or cannot be written, before the work whose result goes there.</summary>
    /// <param name="file">The file.</param>
    /// <param name="arguments">The command line, with <see cref="Force"/>.</param>
    /// <param name="alternative">The argument or option to change, for the message.</param>
    /// <exception cref="UsageException">It exists, cannot be written, is an input of the command, or only training writes it.</exception>
    public static void Check(string file, ParseResult arguments, string alternative = Location)
    {
        string full = Path.GetFullPath(file), folder = Path.GetDirectoryName(full)!;
        if (File.Exists(file))
        {
            RequireForce(file, arguments, alternative);
            if (Given(arguments).Count(token => Path.GetFullPath(token) == full) > 1)
            {
                throw new UsageException($"{file} is also what this command reads; choose another {alternative}");
            }
        }

        if (RunFolder.Find(folder)?.OnlyTrainingWrites(full) == true)
        {
            throw new UsageException($"{file} is the run's own, and only training writes it; choose another {alternative}");
        }

        WrapErrors(file, () =>
        {
            AtomicFile.Probe(Directory.Exists(file) ? throw new IOException("it is a folder")
                : Directory.Exists(folder) ? folder : throw new IOException($"there is no folder {folder}"));
        }, alternative);
    }

    private static IEnumerable<string> Given(ParseResult arguments)
        => arguments.CommandResult.Children.SelectMany(child => child.Tokens).Select(token => token.Value).Where(value => value.Length > 0);

    /// <exception cref="UsageException">Existing files would be overwritten, and the user has not said so.</exception>
    public static void RequireForce(string path, ParseResult arguments, string alternative = Location)
    {
        if (!arguments.GetValue(Force))
        {
            throw new UsageException($"{path} already exists; choose another {alternative}, or overwrite it with --force");
        }
    }

    /// <summary>Writes to a folder unless it is that of a run that another process is training.</summary>
    /// <exception cref="UsageException">It is, or the folder cannot be written.</exception>
    public static void WriteTo(string folder, Action write) => WrapErrors(folder, () =>
    {
        using IDisposable? held = RunFolder.Find(folder)?.Acquire("stop it, or choose another folder with --out");
        write();
    });

    /// <summary>Turns write failures into a one-line error message.</summary>
    public static void WrapErrors(string path, Action write, string alternative = Location)
    {
        AtomicFile.CheckName(path);
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"{path} cannot be written ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); choose another {alternative}", e);
        }
    }
}
