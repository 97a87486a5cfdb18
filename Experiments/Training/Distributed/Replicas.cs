using System.Diagnostics;
using System.Text;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>
/// The ranks that train one run, each with a replica of all networks on its shard of every batch; or a single process. All
/// of them call the methods here in the same order.
/// </summary>
internal sealed class Replicas
{
    private const int BucketBytes = 25 << 20; // PyTorch's
    private const long LargeBytes = 1 << 20;
    private static readonly TimeSpan BusyForOthers = TimeSpan.FromMilliseconds(20); // busy-wait, then sleep between polls: running ranks need the cores
    private static readonly TimeSpan BusyWithData = TimeSpan.FromSeconds(2); // transfers progress only while polled
    private static readonly TimeSpan Nap = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan UntilToldOfStop = TimeSpan.FromSeconds(0.3); // Open MPI's mpirun kills one second after SIGTERM
    private static readonly TimeSpan UntilStop = TimeSpan.FromSeconds(1.5);

    private readonly IProcessGroup? _group;
    private readonly TimeSpan _patience;
    private readonly CancellationToken _stop;

    /// <param name="group">The communicator.</param>
    /// <param name="patience">The timeout of a collective.</param>
    /// <param name="stop">Asks this process to stop: it stops together with the others, or alone if they do not respond.</param>
    public Replicas(IProcessGroup group, TimeSpan patience, CancellationToken stop)
        => (_group, _patience, _stop, Shard) = (group, patience, stop, new Shard(group.Rank, group.Size));

    private Replicas() => Shard = Shard.Whole;

    /// <summary>A single process.</summary>
    public static Replicas Alone => new();

    /// <summary>This process's shard of each batch.</summary>
    public Shard Shard { get; }

    /// <summary>Whether this is rank 0, which writes files and prints for all.</summary>
    public bool IsFirst => Shard.Rank == 0;

    /// <summary>Whether there is more than one rank.</summary>
    public bool AreSeveral => Shard.Of > 1;

    /// <summary>The name of this rank, for messages.</summary>
    public string Name => NameOf(Shard.Rank, Shard.Of);

    /// <summary>The current position in training, such as <c>epoch 2, batch 7</c>, for timeout messages.</summary>
    public string? Place { get; set; }

    /// <summary>How to resume if other ranks are lost; null if nothing is written yet.</summary>
    public string? Advice { get; set; }

    /// <summary>Receives a message about ranks that do not respond, while this rank is still waiting.</summary>
    public Action<string>? Tell { get; init; }

    /// <summary>Bytes of tensors that this process has passed to all-reduce.</summary>
    public long BytesSummed { get; private set; }

    /// <summary>Describes a rank, with its host, for messages.</summary>
    public static string NameOf(int rank, int size) => FormattableString.Invariant($"rank {rank} of {size} on {Environment.MachineName}");

    /// <summary>The mean of gradients over the processes, each counting by its samples, in buckets of one size (<see cref="Meta.Gradients.Averaging"/>).</summary>
    public IReadOnlyList<Tensor?> Average(IReadOnlyList<Tensor?> gradients, long samples)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor[] given = [.. gradients.OfType<Tensor>()];
        Tensor flat = cat([.. given.Select(part => part.detach().flatten())]).mul_(samples);
        Tensor all = full([1], samples, flat.dtype, flat.device); // summed on the device: no synchronisation
        Exchange("gradient averaging", [flat, all]);

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
    public void Sum(params Tensor[] tensors) => Exchange("an all-reduce", tensors);

    /// <summary>Broadcast: replaces tensors with those of rank 0.</summary>
    public void TakeFirst(IEnumerable<Tensor> tensors)
    {
        foreach (Tensor tensor in AreSeveral ? tensors : [])
        {
            Broadcast("the broadcast from rank 0", tensor, from: 0);
        }
    }

    /// <summary>All-gather: the tensors of all processes, one row each: <c>[processes, …]</c>.</summary>
    /// <param name="own">float32, float64 or int64, on the CPU, with the same shape in every process.</param>
    public Tensor Gather(Tensor own) => Gather("an all-gather", own);

    /// <summary>Broadcasts bytes from one process to all.</summary>
    /// <param name="bytes">The bytes, in the source process.</param>
    /// <param name="from">The source rank.</param>
    public byte[] Share(byte[]? bytes, int from = 0)
    {
        using DisposeScope scope = NewDisposeScope();
        string what = FormattableString.Invariant($"the broadcast from rank {from}");
        Tensor length = tensor(new[] { Shard.Rank == from ? (long)bytes!.Length : 0 });
        Broadcast(what, length, from);
        Tensor content = Shard.Rank == from ? tensor(bytes!) : zeros([length.item<long>()], ScalarType.Byte);
        Broadcast(what, content, from);
        return content.ToArray<byte>();
    }

    /// <summary>Broadcasts a string from one process to all.</summary>
    /// <param name="text">The string, in the source process.</param>
    /// <param name="from">The source rank.</param>
    public string Share(string? text, int from = 0)
        => Encoding.UTF8.GetString(Share(text is null ? null : Encoding.UTF8.GetBytes(text), from));

    /// <summary>Combines the flags of all processes (logical or), so that they stop, save and fail at the same batch.</summary>
    /// <param name="stop">Whether this process was asked to stop.</param>
    /// <param name="isDue">Whether a checkpoint is due in this process.</param>
    /// <param name="problem">The problem in this process; null if none. With several problems, that of the lowest rank counts.</param>
    /// <param name="exitCode">The exit code for <paramref name="problem"/>, at least 1.</param>
    public Agreement Agree(bool stop, bool isDue = false, string? problem = null, int exitCode = 1)
    {
        if (!AreSeveral)
        {
            return new Agreement(stop, isDue, problem, problem is null ? 0 : exitCode);
        }

        using DisposeScope scope = NewDisposeScope();
        Tensor own = tensor(new[] { stop ? 1L : 0, isDue ? 1 : 0, problem is null ? 0 : exitCode });
        long[][] said = [.. Gather("the exchange of status flags", own).ToArray<long>().Chunk(3)];
        int first = Array.FindIndex(said, flags => flags[2] != 0);
        string? shared = first < 0 ? null : Share(first == Shard.Rank ? problem : null, first);
        return new Agreement(said.Any(flags => flags[0] != 0), said.Any(flags => flags[1] != 0), shared, first < 0 ? 0 : (int)said[first][2]);
    }

    /// <summary>Runs work in each rank that may fail in some of them: then all fail.</summary>
    /// <param name="work">The work of this rank; null if only other ranks have work.</param>
    /// <exception cref="SharedFailureException">It failed in one of several ranks for a reason that the user can fix.</exception>
    public void Together(Action? work)
    {
        Exception? failure = null;
        try
        {
            work?.Invoke();
        }
        catch (Exception e) when (AreSeveral && e is (UsageException or IOException or UnauthorizedAccessException) and not LostProcessException)
        {
            failure = e;
        }

        string? problem = failure is null ? null : IsFirst ? failure.Message : $"{Name}: {failure.Message}";
        Agreement agreed = Agree(stop: false, problem: problem, exitCode: failure is UsageException ? UsageException.ExitCode : 1);
        if (agreed.Problem is not null)
        {
            throw new SharedFailureException(agreed.Problem, agreed.ExitCode);
        }
    }

    /// <summary>A final barrier: no collectives follow, and stop requests are ignored.</summary>
    public void Part()
    {
        if (_group is not null)
        {
            using DisposeScope scope = NewDisposeScope();
            Wait("the final barrier", BusyForOthers, [zeros([1], ScalarType.Int64)], _group.Sum, stops: false);
        }
    }

    private Tensor Gather(string what, Tensor own)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor all = zeros([Shard.Of, .. own.shape], own.dtype);
        all.select(0, Shard.Rank).copy_(own);
        Exchange(what, [all]);
        return scope.MoveToOuter(all);
    }

    /// <summary>
    /// Sums in place. CUDA tensors are staged through host memory, long ones in buckets, so that one is reduced while the next is copied.
    /// </summary>
    private void Exchange(string what, Tensor[] tensors)
    {
        if (_group is null)
        {
            return;
        }

        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        long bytes = tensors.Sum(tensor => tensor.numel() * tensor.element_size());
        BytesSummed += bytes;
        Tensor[] sent = [.. tensors.Select(OnHost)];
        if (bytes >= LargeBytes)
        {
            Wait(what, BusyForOthers, zeros([1], ScalarType.Int64)); // barrier
        }

        Wait(what, bytes >= LargeBytes ? BusyWithData : BusyForOthers, [.. sent.SelectMany(Buckets)]);
        Return(tensors, sent);
    }

    private void Broadcast(string what, Tensor tensor, int from)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor sent = OnHost(tensor);
        Wait(what, BusyForOthers, [sent], one => _group!.Broadcast(one, from));
        Return([tensor], [sent]);
    }

    private static Tensor OnHost(Tensor tensor) => tensor.cpu().contiguous();

    private static void Return(Tensor[] tensors, Tensor[] sent)
    {
        foreach ((Tensor to, Tensor from) in tensors.Zip(sent).Where(pair => pair.First.Handle != pair.Second.Handle))
        {
            to.copy_(from);
        }
    }

    private static IEnumerable<Tensor> Buckets(Tensor tensor)
    {
        long each = BucketBytes / tensor.element_size(), length = tensor.numel();
        if (length <= each)
        {
            yield return tensor;
            yield break;
        }

        Tensor flat = tensor.view(-1);
        for (long start = 0; start < length; start += each)
        {
            yield return flat.narrow(0, start, Math.Min(each, length - start));
        }
    }

    private void Wait(string what, TimeSpan busy, params Tensor[] summed) => Wait(what, busy, summed, _group!.Sum);

    /// <summary>Starts collectives and waits for them, at first busy-waiting, up to the timeout.</summary>
    /// <exception cref="LostProcessException">One failed or timed out.</exception>
    private void Wait(string what, TimeSpan busy, Tensor[] tensors, Func<Tensor, IExchange> begin, bool stops = true)
    {
        try
        {
            IExchange[] exchanges = [.. tensors.Select(begin)];
            int done = 0;
            bool AllDone()
            {
                while (done < exchanges.Length && exchanges[done].IsDone())
                {
                    done++;
                }

                return done == exchanges.Length;
            }

            Wait(AllDone, what, busy, stops);
        }
        catch (Exception e) when (e is MpiException or LostProcessException)
        {
            // MPI may still read and write them until this process ends.
            Array.ForEach(tensors, tensor => tensor.DetachFromDisposeScope());
            throw e is LostProcessException
                ? e
                : new LostProcessException($"{Name} lost contact with the other ranks ({e.Message.TrimEnd('.')}) at {At(what)}; {HowToGoOn()}", innerException: e);
        }
    }

    private void Wait(Func<bool> isDone, string what, TimeSpan busy, bool stops)
    {
        long start = Stopwatch.GetTimestamp(), stopSeen = 0;
        bool told = false;
        while (!isDone())
        {
            TimeSpan waited = Stopwatch.GetElapsedTime(start);
            if (waited > _patience)
            {
                string inVain = FormattableString.Invariant($"{Name} gave up after waiting {_patience.TotalSeconds:0.#} s for the other ranks");
                throw new LostProcessException($"{inVain} at {At(what)}; {HowToGoOn()}");
            }

            if (stops && _stop.IsCancellationRequested)
            {
                stopSeen = stopSeen == 0 ? Stopwatch.GetTimestamp() : stopSeen;
                TimeSpan since = Stopwatch.GetElapsedTime(stopSeen);
                if (since > UntilToldOfStop && !told)
                {
                    told = true;
                    string soFar = FormattableString.Invariant($"{Name} was asked to stop and has waited {waited.TotalSeconds:0.0} s for the other ranks");
                    Tell?.Invoke($"{soFar} at {At(what)}; {HowToGoOn()}");
                }

                if (since > UntilStop)
                {
                    throw new LostProcessException($"{Name} stops without the other ranks, which did not reach {At(what)}", stopped: true);
                }
            }

            if (waited < busy)
            {
                Thread.Yield();
            }
            else
            {
                Thread.Sleep(Nap);
            }
        }
    }

    private string At(string what) => Place is null ? what : $"{what} ({Place})";

    private string HowToGoOn() => Advice ?? "nothing has been written yet: find the cause and restart; --process-timeout sets how long a rank waits";
}

/// <summary>The combined flags of all processes of a run.</summary>
/// <param name="Stop">Whether they stop after the current batch.</param>
/// <param name="IsDue">Whether they write a checkpoint.</param>
/// <param name="Problem">The problem in some process; null if none.</param>
/// <param name="ExitCode">The exit code of the problem; 0 without one.</param>
internal readonly record struct Agreement(bool Stop, bool IsDue, string? Problem, int ExitCode = 0);
