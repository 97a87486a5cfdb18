using System.Runtime.ExceptionServices;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>Several "ranks" on threads of this process, with tensors in each thread's own scope.</summary>
internal sealed class ThreadGroup : ICommunicator
{
    private readonly Rendezvous _rendezvous;
    private int _exchanges;

    private ThreadGroup(Rendezvous rendezvous, int rank) => (_rendezvous, Rank) = (rendezvous, rank);

    public int Rank { get; }

    public int Size => _rendezvous.Size;

    /// <summary>Runs the same work in all of them; what each gave, by rank.</summary>
    /// <param name="size">How many.</param>
    /// <param name="work">Called with the ranks.</param>
    /// <param name="patience">Seconds that one waits for the others.</param>
    /// <param name="stop">Asks rank 0 to stop.</param>
    /// <param name="tell">Takes what a rank says while it waits.</param>
    public static T[] Run<T>(
        int size, Func<ProcessGroup, T> work, double patience = 60, Action<string>? tell = null, CancellationToken stop = default)
    {
        var rendezvous = new Rendezvous(size);
        var results = new T[size];
        var failures = new ExceptionDispatchInfo?[size];
        Thread[] threads = [.. Enumerable.Range(0, size).Select(rank => new Thread(() =>
        {
            try
            {
                using DisposeScope scope = NewDisposeScope();
                results[rank] = work(
                    new ProcessGroup(new ThreadGroup(rendezvous, rank), TimeSpan.FromSeconds(patience), rank == 0 ? stop : default)
                    {
                        OnWaiting = tell,
                    });
            }
            catch (Exception e)
            {
                failures[rank] = ExceptionDispatchInfo.Capture(e);
            }
        }))];
        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        // who is lost is lost because of another
        failures.OfType<ExceptionDispatchInfo>().OrderBy(failure => failure.SourceException is RankLostException).FirstOrDefault()?.Throw();
        return results;
    }

    public ICollectiveWork AllReduceSum(Tensor tensor) => _rendezvous.Take(_exchanges++, Rank, tensor, all =>
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor sum = all[0].clone();
        Array.ForEach(all[1..], one => sum.add_(one, One));
        Array.ForEach(all, one => one.copy_(sum));
    });

    public ICollectiveWork Broadcast(Tensor tensor, int root)
        => _rendezvous.Take(_exchanges++, Rank, tensor, all => Array.ForEach(all, one =>
    {
        if (one.Handle != all[root].Handle)
        {
            one.copy_(all[root]);
        }
    }));

    public void Shutdown(int exitCode)
    {
    }

    public void Abort(int exitCode, TimeSpan patience) => throw new NotSupportedException();

    /// <summary>What all have begun, in the order in which each begins it.</summary>
    private sealed class Rendezvous(int size)
    {
        private readonly Dictionary<int, Exchange> _begun = [];

        public int Size => size;

        public ICollectiveWork Take(int number, int rank, Tensor tensor, Action<Tensor[]> exchange)
        {
            lock (_begun)
            {
                if (!_begun.TryGetValue(number, out Exchange? of))
                {
                    _begun[number] = of = new Exchange(size);
                }

                of.Tensors[rank] = tensor;
                if (of.Tensors.All(one => one is not null))
                {
                    _begun.Remove(number);
                    using IDisposable noGrad = no_grad();
                    exchange(of.Tensors!);
                    of.Done = true;
                }

                return of;
            }
        }
    }

    private sealed class Exchange(int size) : ICollectiveWork
    {
        public volatile bool Done;

        public Tensor?[] Tensors { get; } = new Tensor?[size];

        public bool Poll() => Done;
    }
}
