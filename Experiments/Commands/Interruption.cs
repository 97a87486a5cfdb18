using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>The first Ctrl-C or SIGTERM asks a command to stop where nothing is lost; a second one ends it at once.</summary>
internal sealed class Interruption : IDisposable
{
    /// <summary>Exit code of a command that was stopped.</summary>
    public const int ExitCode = 130;

    private readonly CancellationTokenSource _stop = new();
    private readonly PosixSignalRegistration[] _registrations;

    public Interruption() => _registrations = [PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop)];

    public CancellationToken Token => _stop.Token;

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }

        _stop.Dispose();
    }

    private void Stop(PosixSignalContext context)
    {
        context.Cancel = !_stop.IsCancellationRequested;
        _stop.Cancel();
    }
}
