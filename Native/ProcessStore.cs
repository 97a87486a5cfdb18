using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>Where processes meet that are to work together: c10d's store of keys, which one of them hosts.</summary>
public sealed unsafe class ProcessStore : IDisposable
{
    private nint _handle;

    /// <summary>Hosts a store, or connects to one that another process hosts, now or soon.</summary>
    /// <param name="host">The host's name or address.</param>
    /// <param name="port">Its port; 0, to host: any free one.</param>
    /// <param name="hosts">Whether this process hosts it.</param>
    /// <param name="prefix">Of this group's keys, where others use the store too; empty: none.</param>
    /// <param name="timeout">How long to wait for the host, and later for keys.</param>
    /// <exception cref="ExternalException">The port is taken, or nobody answers in time.</exception>
    public ProcessStore(string host, int port, bool hosts, string prefix, TimeSpan timeout)
    {
        int bound = port;
        _handle = NativeMethods.StoreNew(host, &bound, hosts ? 1 : 0, prefix, (long)timeout.TotalMilliseconds);
        if (_handle == 0)
        {
            throw Runtime.LastError();
        }

        (Host, Port) = (host, bound);
    }

    /// <summary>The host's name or address.</summary>
    public string Host { get; }

    /// <summary>The port on which the host listens.</summary>
    public int Port { get; }

    internal nint Handle => _handle != 0 ? _handle : throw new ObjectDisposedException(nameof(ProcessStore));

    /// <inheritdoc/>
    public void Dispose() => NativeMethods.StoreFree(Interlocked.Exchange(ref _handle, 0));
}
