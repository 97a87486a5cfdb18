using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>
/// The first Ctrl-C or SIGTERM asks a command to stop at a point where nothing is lost; a second one ends it at once. A run of a sweep is
/// also stopped by the end of its standard input, a pipe that closes when the sweep's process ends, however it ends; so is rank 0 if this
/// program started the ranks.
/// </summary>
internal sealed class StopSignal : IDisposable
{
    private const int Interrupted = 130, Terminated = 143; // 128 + the signal's number

    /// <summary>The environment variable that, if it is 1, makes the end of standard input stop a command.</summary>
    public const string StopsWithInput = "IMTA_STOP_WITH_INPUT";

    private readonly CancellationTokenSource _stop = new();
    private readonly PosixSignalRegistration[] _registrations;
    private bool _signalled;

    public StopSignal()
    {
        _registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop),
        ];
        // other ranks have no standard input
        if (Environment.GetEnvironmentVariable(StopsWithInput) == "1" && RankAssignment.Current() is not { Rank: > 0 })
        {
            new Thread(StopAtEndOfInput) { IsBackground = true }.Start();
        }
    }

    /// <summary>Exit code of a command that was stopped: 143 by SIGTERM, else 130.</summary>
    public static int ExitCode { get; private set; } = Interrupted;

    public CancellationToken Token => _stop.Token;

    /// <summary>What else to do on a second signal; null: nothing.</summary>
    public Action? OnSecondSignal { get; set; }

    /// <summary>Whether a process of this program that ended with the code was stopped.</summary>
    public static bool IsStop(int code) => code is Interrupted or Terminated;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }

        _stop.Dispose();
    }

    private void StopAtEndOfInput()
    {
        using Stream input = Console.OpenStandardInput();
        while (input.ReadByte() >= 0)
        {
        }

        Cancel();
    }

    private void Stop(PosixSignalContext context)
    {
        context.Cancel = !_signalled;
        if (_signalled)
        {
            OnSecondSignal?.Invoke();
        }
        else if (context.Signal == PosixSignal.SIGTERM)
        {
            ExitCode = Terminated;
        }

        _signalled = true;
        Cancel();
    }

    private void Cancel()
    {
        try
        {
            _stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The command finished first: .NET handles a signal on a thread of its own.
        }
    }
}
