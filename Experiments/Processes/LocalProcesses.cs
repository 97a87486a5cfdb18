using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace Imta.MetaWeight.Experiments.Processes;

/// <summary>The other processes of a run on this machine, started by process 0 with its own command line. They end with it.</summary>
internal sealed class LocalProcesses : IDisposable
{
    private static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);

    private readonly Process[] _others;

    /// <param name="size">Processes of the run, this one among them.</param>
    /// <param name="port">Where they meet.</param>
    public LocalProcesses(int size, int port) => _others = [.. Enumerable.Range(1, size - 1).Select(rank => Start(rank, size, port))];

    /// <summary>The rank of one that has ended; null: all run.</summary>
    public int? Ended => Array.FindIndex(_others, process => process.HasExited) is >= 0 and int index ? index + 1 : null;

    /// <summary>Waits for their end, not for long.</summary>
    public void Dispose()
    {
        foreach (Process process in _others)
        {
            process.StandardInput.Close();
            if (!process.WaitForExit(Grace))
            {
                process.Kill();
            }

            process.Dispose();
        }
    }

    private static Process Start(int rank, int size, int port)
    {
        ProcessStartInfo start = OwnProgram.With(Environment.GetCommandLineArgs()[1..]);
        foreach ((string name, int value) in ((string, int)[])[("RANK", rank), ("WORLD_SIZE", size), ("LOCAL_RANK", rank), ("LOCAL_WORLD_SIZE", size), ("MASTER_PORT", port)])
        {
            start.Environment[name] = value.ToString(CultureInfo.InvariantCulture);
        }

        start.Environment["MASTER_ADDR"] = IPAddress.Loopback.ToString();
        start.Environment["TORCHELASTIC_USE_AGENT_STORE"] = "";
        return Process.Start(start)!;
    }
}
