using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>
/// The first Ctrl-C or SIGTERM asks a command to stop at a point where nothing is lost; a second one ends it at once. A run of a sweep is
/// also stopped by the end of its standard input, a pipe that closes when the sweep's process ends, however it ends; so is rank 0 of ranks
/// started by this program.
/// </summary>
internal sealed class StopSignal : IDisposable
{
    /// <summary>Exit code of an interrupted command.</summary>
    public const int ExitCode = 130;

    /// <summary>The environment variable that enables the latter: 1.</summary>
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

    public CancellationToken Token => _stop.Token;

    /// <summary>What else to end on a second signal; null: nothing.</summary>
    public Action? OnSecondSignal { get; set; }

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

        try
        {
            _stop.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The command finished first.
        }
    }

    private void Stop(PosixSignalContext context)
    {
        context.Cancel = !_signalled;
        if (_signalled)
        {
            OnSecondSignal?.Invoke();
        }

        _signalled = true;
        _stop.Cancel();
    }
}
