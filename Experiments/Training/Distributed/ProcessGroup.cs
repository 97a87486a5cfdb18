using System.Diagnostics;
using System.Text;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>The ranks that train one run, each with a replica of all networks on its shard of every batch; or a single process.</summary>
/// <remarks>All of them call the methods here in the same order.</remarks>
internal sealed class ProcessGroup
{
    private const long LargeBytes = 1 << 20;
    private static readonly TimeSpan BusyWaitForRanks = TimeSpan.FromMilliseconds(20); // then sleeps: running ranks need the cores
    private static readonly TimeSpan BusyWaitForTransfer = TimeSpan.FromSeconds(2); // transfers progress only while polled
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan StopNoticeDelay = TimeSpan.FromSeconds(0.3); // Open MPI's mpirun kills one second after SIGTERM
    private static readonly TimeSpan StopGracePeriod = TimeSpan.FromSeconds(1.5);

    private readonly ICommunicator? _group;
    private readonly TimeSpan _patience;
    private readonly CancellationToken _stop;

    /// <param name="group">The communicator.</param>
    /// <param name="timeout">The timeout of a collective.</param>
    /// <param name="stop">Asks this process to stop: it stops together with the others, or alone if they do not respond.</param>
    public ProcessGroup(ICommunicator group, TimeSpan timeout, CancellationToken stop)
        => (_group, _patience, _stop, Shard) = (group, timeout, stop, new Shard(group.Rank, group.Size));

    private ProcessGroup() => Shard = Shard.Full;

    /// <summary>A single process.</summary>
    public static ProcessGroup SingleProcess => new();

    /// <summary>This process's shard of each batch.</summary>
    public Shard Shard { get; }

    /// <summary>Whether this is rank 0, which writes files and prints for all.</summary>
    public bool IsRankZero => Shard.Rank == 0;

    /// <summary>Whether there is more than one rank.</summary>
    public bool IsDistributed => Shard.Count > 1;

    /// <summary>The name of this rank, for messages.</summary>
    public string RankName => RankAssignment.Describe(Shard.Rank, Shard.Count);

    /// <summary>The current position in training, such as <c>epoch 2, batch 7</c>, for timeout messages.</summary>
    public string? Location { get; set; }

    /// <summary>How to resume if other ranks are lost; null if nothing is written yet.</summary>
    public string? RecoveryHint { get; set; }

    /// <summary>Receives a message about ranks that do not respond, while this rank is still waiting.</summary>
    public Action<string>? OnWaiting { get; init; }

    /// <summary>Bytes of tensors that this process has passed to all-reduce.</summary>
    public long BytesReduced { get; private set; }

    /// <summary>
    /// The mean of gradients over the processes, weighted by their samples (<see cref="Meta.Gradients.Averaging"/>). All gradients are
    /// reduced as one flat tensor.
    /// </summary>
    public IReadOnlyList<Tensor?> AllReduceMean(IReadOnlyList<Tensor?> gradients, long samples)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor[] given = [.. gradients.OfType<Tensor>()];
        Tensor flat = cat([.. given.Select(part => part.detach().flatten())]).mul_(Held(samples));
        Tensor all = full([1], Held(samples), flat.dtype, flat.device); // summed on the device: no synchronisation
        AllReduceInPlace("gradient averaging", [flat, all]);

        flat.mul_(ones_like(all).div(all));
        var means = new Queue<Tensor>();
        long start = 0;
        foreach (Tensor part in given)
        {
            means.Enqueue(scope.MoveToOuter(flat.narrow(0, start, part.numel()).view(part.shape)));
            start += part.numel();
        }

        return [.. gradients.Select(gradient => gradient is null ? null : means.Dequeue())];
    }

    /// <summary>All-reduce: replaces tensors, all on one device, with their sums over the processes.</summary>
    /// <param name="tensors">float32, float64 or int64.</param>
    public void AllReduceSum(params Tensor[] tensors) => AllReduceInPlace("an all-reduce", tensors);

    /// <summary>Broadcast: replaces tensors with those of rank 0.</summary>
    public void BroadcastFromRankZero(IEnumerable<Tensor> tensors)
    {
        foreach (Tensor tensor in IsDistributed ? tensors : [])
        {
            BroadcastBuffers("the broadcast from rank 0", tensor, from: 0);
        }
    }

    /// <summary>All-gather: the tensors of all processes, one row each: <c>[processes, …]</c>.</summary>
    /// <param name="own">float32, float64 or int64, on the CPU, with the same shape in every process.</param>
    /// <param name="what">Its name in messages.</param>
    public Tensor AllGather(Tensor own, string what = "an all-gather")
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor all = zeros([Shard.Count, .. own.shape], own.dtype);
        all.select(0, Shard.Rank).copy_(own);
        AllReduceInPlace(what, [all]);
        return scope.MoveToOuter(all);
    }

    /// <summary>Broadcasts bytes from one process to all.</summary>
    /// <param name="bytes">The bytes, in the source process.</param>
    /// <param name="from">The source rank.</param>
    public byte[] Broadcast(byte[]? bytes, int from = 0)
    {
        using DisposeScope scope = NewDisposeScope();
        string what = FormattableString.Invariant($"the broadcast from rank {from}");
        Tensor length = tensor(new[] { Shard.Rank == from ? (long)bytes!.Length : 0 });
        BroadcastBuffers(what, length, from);
        Tensor content = Shard.Rank == from ? tensor(bytes!) : zeros([length.item<long>()], ScalarType.Byte);
        BroadcastBuffers(what, content, from);
        return content.ToArray<byte>();
    }

    /// <summary>Broadcasts a string from one process to all.</summary>
    /// <param name="text">The string, in the source process.</param>
    /// <param name="from">The source rank.</param>
    public string Broadcast(string? text, int from = 0)
        => Encoding.UTF8.GetString(Broadcast(text is null ? null : Encoding.UTF8.GetBytes(text), from));

    /// <summary>A final barrier: no collectives follow, and stop requests are ignored.</summary>
    public void FinalBarrier()
    {
        if (_group is not null)
        {
            using DisposeScope scope = NewDisposeScope();
            RunCollective("the final barrier", BusyWaitForRanks, [zeros([1], ScalarType.Int64)], _group.AllReduceSum, stops: false);
        }
    }

    /// <summary>
    /// Sums in place. CUDA tensors are staged through host memory. Of a long tensor one bucket is reduced while the next is transferred.
    /// </summary>
    private void AllReduceInPlace(string what, Tensor[] tensors)
    {
        if (_group is null)
        {
            return;
        }

        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        long bytes = tensors.Sum(tensor => tensor.numel() * tensor.element_size());
        BytesReduced += bytes;
        Tensor[] sent = [.. tensors.Select(TransferBuffers.OnHost)];
        if (bytes >= LargeBytes)
        {
            RunCollective(what, BusyWaitForRanks, [zeros([1], ScalarType.Int64)], _group.AllReduceSum); // barrier
        }

        TimeSpan busy = bytes >= LargeBytes ? BusyWaitForTransfer : BusyWaitForRanks;
        RunCollective(what, busy, [.. sent.SelectMany(TransferBuffers.Buckets)], _group.AllReduceSum);
        TransferBuffers.Return(tensors, sent);
    }

    private void BroadcastBuffers(string what, Tensor tensor, int from)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor sent = TransferBuffers.OnHost(tensor);
        RunCollective(what, BusyWaitForRanks, [sent], one => _group!.Broadcast(one, from));
        TransferBuffers.Return([tensor], [sent]);
    }

    /// <summary>Starts collectives and waits for them, at first busy-waiting, up to the timeout.</summary>
    /// <exception cref="RankLostException">One failed or timed out.</exception>
    private void RunCollective(string what, TimeSpan busy, Tensor[] tensors, Func<Tensor, ICollectiveWork> begin, bool stops = true)
    {
        try
        {
            ICollectiveWork[] exchanges = [.. tensors.Select(begin)];
            int done = 0;
            bool AllDone()
            {
                while (done < exchanges.Length && exchanges[done].Poll())
                {
                    done++;
                }

                return done == exchanges.Length;
            }

            RunCollective(AllDone, what, busy, stops);
        }
        catch (Exception e) when (e is MpiException or RankLostException)
        {
            Array.ForEach(tensors, tensor => tensor.DetachFromDisposeScope());
            _ = System.Runtime.InteropServices.GCHandle.Alloc(tensors); // MPI may still read and write them until this process ends
            throw e is RankLostException
                ? e
                : new RankLostException($"{RankName} lost contact with the other ranks ({e.Message.TrimEnd('.')}) at "
                    + $"{DescribeLocation(what)}; {RecoveryAdvice()}", innerException: e);
        }
    }

    private void RunCollective(Func<bool> isDone, string what, TimeSpan busy, bool stops)
    {
        long start = Stopwatch.GetTimestamp(), stopSeen = 0;
        bool reported = false;
        while (!isDone())
        {
            TimeSpan waited = Stopwatch.GetElapsedTime(start);
            if (waited > _patience)
            {
                string timeoutMessage = FormattableString.Invariant(
                    $"{RankName} gave up after waiting {_patience.TotalSeconds:0.#} s for the other ranks");
                throw new RankLostException($"{timeoutMessage} at {DescribeLocation(what)}; {RecoveryAdvice()}");
            }

            if (stops && _stop.IsCancellationRequested)
            {
                stopSeen = stopSeen == 0 ? Stopwatch.GetTimestamp() : stopSeen;
                TimeSpan since = Stopwatch.GetElapsedTime(stopSeen);
                if (since > StopNoticeDelay && !reported)
                {
                    reported = true;
                    string waitingMessage = FormattableString.Invariant(
                        $"{RankName} was asked to stop and has waited {waited.TotalSeconds:0.0} s for the other ranks");
                    OnWaiting?.Invoke($"{waitingMessage} at {DescribeLocation(what)}; {RecoveryAdvice()}");
                }

                if (since > StopGracePeriod)
                {
                    throw new RankLostException(
                        $"{RankName} stops without the other ranks, which did not reach {DescribeLocation(what)}", stopped: true);
                }
            }

            if (waited < busy)
            {
                Thread.Yield();
            }
            else
            {
                Thread.Sleep(PollInterval);
            }
        }
    }

    private string DescribeLocation(string what) => Location is null ? what : $"{what} ({Location})";

    private string RecoveryAdvice()
        => RecoveryHint ?? "nothing has been written yet: find the cause and restart; --process-timeout sets how long a rank waits";
}
