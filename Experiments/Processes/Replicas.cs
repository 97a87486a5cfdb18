using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Experiments.Processes;

/// <summary>
/// The processes that train one run together, each with a replica of all networks on its shard of every batch; or this one, alone. All
/// of them call the methods here in the same order.
/// </summary>
internal sealed class Replicas : IDisposable
{
    private const long BucketBytes = 25 << 20; // PyTorch's
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(200);

    private readonly LaunchPlace? _place;
    private readonly TimeSpan _patience;
    private ProcessStore? _store;
    private LocalProcesses? _started;
    private ProcessGroup? _hosts; // tensors of the CPU
    private ProcessGroup? _devices; // tensors of CUDA devices, from the first of them on: without a GPU NCCL's cannot even be made

    private Replicas(Shard shard, LaunchPlace? place, TimeSpan patience) => (Shard, _place, _patience) = (shard, place, patience);

    /// <summary>A process without others.</summary>
    public static Replicas Alone { get; } = new(Shard.Whole, null, TimeSpan.Zero);

    /// <summary>What of each batch is this process's.</summary>
    public Shard Shard { get; }

    /// <summary>Whether this is process 0, which writes and speaks for all.</summary>
    public bool IsFirst => Shard.Rank == 0;

    /// <summary>Whether there are others.</summary>
    public bool AreSeveral => Shard.Of > 1;

    /// <summary>Bytes of tensors that this process has handed over to be summed.</summary>
    public long BytesSummed { get; private set; }

    /// <summary>The processes that a launcher has started, or those that <see cref="Meet"/> starts.</summary>
    /// <param name="place">The launcher's; null: there is none.</param>
    /// <param name="processes">Without a launcher: how many there are to be.</param>
    /// <param name="patience">How long this one waits for the others, to meet them and whenever it needs them.</param>
    /// <exception cref="UsageException">This build cannot join processes.</exception>
    public static Replicas Of(LaunchPlace? place, int processes, TimeSpan patience)
    {
        if (place is null && processes == 1)
        {
            return Alone;
        }

        return ProcessGroup.Engines.HasFlag(ProcessEngines.Gloo)
            ? new Replicas(new Shard(place?.Rank ?? 0, place?.Size ?? processes), place, patience)
            : throw new UsageException("this build cannot train by several processes, because it found no headers of Gloo; install them (Debian: apt-get install libgloo-dev) and build again");
    }

    /// <summary>Meets the others, those that a launcher has started or those that it starts itself; before, there is nothing to exchange.</summary>
    /// <exception cref="LostProcessException">Not all came in time.</exception>
    public void Meet()
    {
        if (!AreSeveral)
        {
            return;
        }

        LaunchPlace place = _place ?? new LaunchPlace(0, Shard.Of, 0, Shard.Of, IPAddress.Loopback.ToString(), 0);
        CheckReach(place);
        try
        {
            _store = new ProcessStore(place.Host, place.Port, hosts: place is { Rank: 0, Agent: null }, place.Agent ?? "", _patience);
            _started = _place is null ? new LocalProcesses(Shard.Of, _store.Port) : null;
            _hosts = Joined(_store, place);
        }
        catch (ExternalException e)
        {
            throw new LostProcessException(
                FormattableString.Invariant($"process {place.Rank} of {place.Size} waited for the others at {place.Host}:{place.Port} in vain ({Cause(e)}); start all of them, with MASTER_ADDR and MASTER_PORT that lead to process 0 (and GLOO_SOCKET_IFNAME, where a machine has several networks)"), e);
        }
    }

    /// <summary>Gloo tells the others the address by which this machine reaches process 0's: on several machines that cannot be one of its own.</summary>
    private static void CheckReach(LaunchPlace place)
    {
        const string Interface = "GLOO_SOCKET_IFNAME";
        if (place.LocalSize == place.Size || !string.IsNullOrEmpty(Environment.GetEnvironmentVariable(Interface)))
        {
            return;
        }

        try
        {
            if (Dns.GetHostAddresses(place.Host) is [var address, ..] addresses && addresses.All(IPAddress.IsLoopback))
            {
                throw new UsageException($"MASTER_ADDR is {place.Host}, by which this machine reaches itself only ({address}), and the other machines not it; take the address of process 0's machine in their network, or name the network by {Interface}");
            }
        }
        catch (SocketException)
        {
            // No such host: who tries to meet there says so.
        }
    }

    /// <summary>The group, once all have come; one that this process started and that has ended will not.</summary>
    private ProcessGroup Joined(ProcessStore store, LaunchPlace place)
    {
        Task<ProcessGroup> joining = Task.Run(() => new ProcessGroup(store, ProcessEngines.Gloo, place.Rank, place.Size, _patience));
        while (Task.WaitAny([joining], Look) < 0)
        {
            if (_started?.Ended is { } rank)
            {
                throw new LostProcessException(FormattableString.Invariant($"process {rank} of {place.Size} ended before it met the others; what ended it it says itself"));
            }
        }

        return joining.GetAwaiter().GetResult();
    }

    /// <summary>The mean of gradients over the processes, each counting by its samples, in buckets (<see cref="Meta.Averaging"/>).</summary>
    public IReadOnlyList<Tensor?> Average(IReadOnlyList<Tensor?> gradients, long samples)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor[] given = [.. gradients.OfType<Tensor>()];
        Tensor[][] groups = [.. Buckets(given)];
        Tensor[] buckets = [.. groups.Select(group => cat([.. group.Select(part => part.detach().flatten())]).mul_(samples))];
        Tensor all = full([1], samples, given[0].dtype, given[0].device); // summed on the device: nobody waits for it
        Sum([.. buckets, all]);

        Tensor share = ones_like(all).div(all);
        var means = new Queue<Tensor>();
        foreach ((Tensor[] group, Tensor bucket) in groups.Zip(buckets))
        {
            bucket.mul_(share);
            long start = 0;
            foreach (Tensor part in group)
            {
                means.Enqueue(scope.MoveToOuter(bucket.narrow(0, start, part.numel()).view(part.shape)));
                start += part.numel();
            }
        }

        return [.. gradients.Select(gradient => gradient is null ? null : means.Dequeue())];
    }

    /// <summary>Replaces tensors, all on one device, by their sums over the processes.</summary>
    public void Sum(params Tensor[] tensors)
    {
        if (!AreSeveral)
        {
            return;
        }

        BytesSummed += tensors.Sum(tensor => tensor.numel() * tensor.element_size());
        Exchanged(tensors, (group, all) => group.Sum([.. all.Select(tensor => tensor.Handle)]));
    }

    /// <summary>Replaces tensors by those of process 0.</summary>
    public void TakeFirst(IEnumerable<Tensor> tensors)
    {
        foreach (Tensor tensor in AreSeveral ? tensors : [])
        {
            Broadcast(tensor, from: 0);
        }
    }

    /// <summary>What every process has, one row each: <c>[processes, …]</c>.</summary>
    /// <param name="own">On the CPU, of one shape everywhere.</param>
    public Tensor Gather(Tensor own)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor all = zeros([Shard.Of, .. own.shape], own.dtype);
        all.select(0, Shard.Rank).copy_(own);
        Sum(all);
        return scope.MoveToOuter(all);
    }

    /// <summary>Bytes of one process, for all.</summary>
    /// <param name="bytes">There: the bytes.</param>
    /// <param name="from">Its rank.</param>
    public byte[] Share(byte[]? bytes, int from = 0)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor length = tensor(new[] { Shard.Rank == from ? (long)bytes!.Length : 0 });
        Broadcast(length, from);
        Tensor content = Shard.Rank == from ? tensor(bytes!) : zeros([length.item<long>()], ScalarType.Byte);
        Broadcast(content, from);
        return content.data<byte>().ToArray();
    }

    /// <summary>What holds for any process holds for all: so they stop, save and fail at the same batch.</summary>
    /// <param name="stop">Whether somebody asked this process to stop.</param>
    /// <param name="isDue">Whether this process wants a checkpoint.</param>
    /// <param name="problem">What is wrong here; null: nothing. Of several processes the first one's counts.</param>
    public Agreement Agree(bool stop, bool isDue = false, string? problem = null)
    {
        if (!AreSeveral)
        {
            return new Agreement(stop, isDue, problem);
        }

        using DisposeScope scope = NewDisposeScope();
        long[][] said = [.. Gather(tensor(new[] { stop ? 1L : 0, isDue ? 1 : 0, problem is null ? 0 : 1 })).data<long>().ToArray().Chunk(3)];
        int first = Array.FindIndex(said, flags => flags[2] != 0);
        string? shared = first < 0 ? null : Encoding.UTF8.GetString(Share(first == Shard.Rank ? Encoding.UTF8.GetBytes(problem!) : null, first));
        return new Agreement(said.Any(flags => flags[0] != 0), said.Any(flags => flags[1] != 0), shared);
    }

    public void Dispose()
    {
        _devices?.Dispose();
        _hosts?.Dispose();
        _store?.Dispose();
        _started?.Dispose();
    }

    private static IEnumerable<Tensor[]> Buckets(Tensor[] tensors)
    {
        var bucket = new List<Tensor>();
        long bytes = 0;
        foreach (Tensor tensor in tensors)
        {
            bucket.Add(tensor);
            bytes += tensor.numel() * tensor.element_size();
            if (bytes >= BucketBytes)
            {
                yield return [.. bucket];
                bucket.Clear();
                bytes = 0;
            }
        }

        if (bucket.Count > 0)
        {
            yield return [.. bucket];
        }
    }

    private void Broadcast(Tensor tensor, int from) => Exchanged([tensor], (group, one) => group.Broadcast(one[0].Handle, from));

    /// <summary>Tensors of CUDA devices go through the host's memory where this build has no engine for them.</summary>
    private void Exchanged(Tensor[] tensors, Action<ProcessGroup, Tensor[]> exchange)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        bool byDevice = tensors[0].device_type == DeviceType.CUDA && ProcessGroup.Engines.HasFlag(ProcessEngines.Nccl);
        Tensor[] sent = [.. tensors.Select(tensor => (byDevice ? tensor : tensor.cpu()).contiguous())];
        try
        {
            exchange(byDevice ? _devices ??= new ProcessGroup(_store!, ProcessEngines.Nccl, Shard.Rank, Shard.Of, _patience) : _hosts!, sent);
        }
        catch (ExternalException e)
        {
            throw new LostProcessException(FormattableString.Invariant($"process {Shard.Rank} of {Shard.Of} does not hear from the others ({Cause(e)})"), e);
        }

        foreach ((Tensor to, Tensor from) in tensors.Zip(sent).Where(pair => pair.First.Handle != pair.Second.Handle))
        {
            to.copy_(from);
        }

        GC.KeepAlive(sent);
    }

    /// <summary>The first line, without the place in the library's source.</summary>
    private static string Cause(ExternalException e)
    {
        string line = e.Message.Split('\n')[0];
        int place = line.StartsWith('[') ? line.IndexOf("] ", StringComparison.Ordinal) : -1;
        return (place < 0 ? line : line[(place + 2)..]).Trim().TrimEnd('.');
    }
}

/// <summary>What the processes of a run agree on.</summary>
/// <param name="Stop">They stop behind the present batch.</param>
/// <param name="IsDue">They write a checkpoint.</param>
/// <param name="Problem">What is wrong with it in some process; null: nothing.</param>
internal readonly record struct Agreement(bool Stop, bool IsDue, string? Problem);
