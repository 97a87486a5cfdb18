using System.Net;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using Imta.MetaWeight.Experiments.Processes;

namespace Imta.MetaWeight.Tests.Experiments.Processes;

/// <summary>Several "processes" on threads of this one: a real process group over TCP, and tensors in each thread's own scope.</summary>
internal static class ProcessGroupOnThreads
{
    /// <summary>Runs the same work in all of them; what each gave, by rank.</summary>
    /// <param name="size">How many.</param>
    /// <param name="work">Called with the processes, which have met.</param>
    /// <param name="patience">Seconds that one waits for the others.</param>
    public static T[] Run<T>(int size, Func<Replicas, T> work, double patience = 60)
    {
        int port = FreePort();
        var results = new T[size];
        var failures = new ExceptionDispatchInfo?[size];
        Thread[] threads = [.. Enumerable.Range(0, size).Select(rank => new Thread(() =>
        {
            try
            {
                using DisposeScope scope = NewDisposeScope();
                using var replicas = Replicas.Of(new LaunchPlace(rank, size, rank, size, IPAddress.Loopback.ToString(), port), size, TimeSpan.FromSeconds(patience));
                replicas.Meet();
                results[rank] = work(replicas);
            }
            catch (Exception e)
            {
                failures[rank] = ExceptionDispatchInfo.Capture(e);
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        failures.FirstOrDefault(failure => failure is not null)?.Throw();
        return results;
    }

    /// <summary>A port that nobody listens on.</summary>
    public static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
