using System.Globalization;

namespace Imta.MetaWeight.Experiments.Processes;

/// <summary>
/// What a rank says when others are lost: on its error output, which leads to the launcher, and in a file of its own machine, for the case
/// that nothing leads there any more.
/// </summary>
/// <param name="path">The file; it is made with the first line.</param>
internal sealed class LastWords(string path)
{
    /// <summary>The file of one of several ranks: <c>imta-USER/START-rankR.txt</c> in the folder for temporary files.</summary>
    /// <param name="rank">Its rank.</param>
    public static LastWords Of(int rank) => new(System.IO.Path.Combine(
        System.IO.Path.GetTempPath(), $"imta-{Environment.UserName}", string.Create(CultureInfo.InvariantCulture, $"{DateTime.Now:yyyyMMdd-HHmmss}-{Environment.ProcessId}-rank{rank}.txt")));

    /// <summary>The file.</summary>
    public string Path { get; } = path;

    public void Say(string line)
    {
        Console.Error.WriteLine($"imta: {line}");
        try
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(Path)!);
            File.AppendAllText(Path, string.Create(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:yyyy-MM-dd HH:mm:ss} {line}\n"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // There is no other place to say it.
        }
    }
}
