namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>Deals devices to the runs of a sweep: each takes those that the fewest others use, the first ones first.</summary>
internal sealed class DevicePool
{
    private readonly IReadOnlyList<string> _names;
    private readonly int[] _users;

    /// <param name="names">Of the devices (<see cref="CudaDevices.Names"/>).</param>
    public DevicePool(IReadOnlyList<string> names) => (_names, _users) = (names, new int[names.Count]);

    /// <summary>Takes devices for a run.</summary>
    /// <param name="count">One for each of its processes; all that there are, where these are fewer.</param>
    public DeviceShare Take(int count)
    {
        int[] taken = [.. Enumerable.Range(0, _names.Count).OrderBy(device => _users[device]).Take(count).Order()];
        Array.ForEach(taken, device => _users[device]++);
        return new DeviceShare([.. taken.Select(device => _names[device])], () => Array.ForEach(taken, device => _users[device]--));
    }
}

/// <summary>The devices of a run, until they are given back.</summary>
/// <param name="Names">As <c>CUDA_VISIBLE_DEVICES</c> takes them; none: the run computes elsewhere.</param>
/// <param name="GiveBack">Frees them for others.</param>
internal sealed record DeviceShare(IReadOnlyList<string> Names, Action GiveBack)
{
    /// <summary>None.</summary>
    public static DeviceShare None { get; } = new([], () => { });
}
