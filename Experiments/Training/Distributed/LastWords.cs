using System.Globalization;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>
/// The error messages of a rank that ends early: on standard error, which goes to the launcher, and in a file on its own machine, in case
/// the launcher is gone.
/// </summary>
internal sealed class LastWords
{
    private static readonly TimeSpan UntilFirstSpoke = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan Recently = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan ConsolePatience = TimeSpan.FromSeconds(1);
    private static readonly string Folder = System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"imta-{Environment.UserName}");

    private readonly LaunchPlace _place;

    public LastWords(LaunchPlace place)
    {
        _place = place;
        string name = string.Create(CultureInfo.InvariantCulture, $"{DateTime.Now:yyyyMMdd-HHmmss}-{Environment.ProcessId}-rank{place.Rank}.txt");
        Path = System.IO.Path.Combine(Folder, name);
    }

    /// <summary>The file: <c>imta-USER/START-PROCESS-rankR.txt</c> in the temporary folder; it is created with the first line.</summary>
    public string Path { get; }

    /// <summary>Reports a line. Failing to write it does not keep the rank from ending.</summary>
    public void Say(string line)
    {
        Note(line);
        var console = new Thread(() => Quietly(() => Failure.OnConsole(line))) { IsBackground = true };
        console.Start();
        console.Join(ConsolePatience);
    }

    /// <summary>Reports what all ranks may report, such as invalid arguments: rank 0 reports it; another rank only if rank 0 did not.</summary>
    public void SayForAll(string line)
    {
        if (_place.Rank == 0)
        {
            Say(line);
            return;
        }

        Thread.Sleep(UntilFirstSpoke);
        if (!FirstSaid(line))
        {
            Say($"{Replicas.NameOf(_place.Rank, _place.Size)}: {line}");
        }
    }

    /// <summary>Writes a line to the file only.</summary>
    public void Note(string line) => Quietly(() =>
    {
        Directory.CreateDirectory(Folder);
        File.AppendAllText(Path, string.Create(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:yyyy-MM-dd HH:mm:ss} {line}\n"));
    });

    private static bool FirstSaid(string line)
    {
        bool said = false;
        Quietly(() => said = Directory.Exists(Folder) && Directory.EnumerateFiles(Folder, "*-rank0.txt")
            .Where(file => DateTime.UtcNow - File.GetLastWriteTimeUtc(file) < Recently)
            .Any(file => File.ReadAllText(file).Contains(line, StringComparison.Ordinal)));
        return said;
    }

    private static void Quietly(Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // There is nowhere else to report it.
        }
    }
}
