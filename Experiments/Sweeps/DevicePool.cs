namespace Imta.MetaWeight.Experiments.Sweeps;

/// <summary>Assigns devices to the runs of a sweep: each run gets the least-used devices, lowest index first.</summary>
internal sealed class DevicePool
{
    private readonly IReadOnlyList<string> _names;
    private readonly int[] _users;

    /// <param name="names">The device names (<see cref="CudaDevices.Names"/>).</param>
    public DevicePool(IReadOnlyList<string> names) => (_names, _users) = (names, new int[names.Count]);

    /// <summary>Acquires devices for a run.</summary>
    /// <param name="count">The number of devices: one per process; all devices if there are fewer.</param>
    public DeviceLease Acquire(int count)
    {
        int[] taken = [.. Enumerable.Range(0, _names.Count).OrderBy(device => _users[device]).Take(count).Order()];
        Array.ForEach(taken, device => _users[device]++);
        return new DeviceLease([.. taken.Select(device => _names[device])], () => Array.ForEach(taken, device => _users[device]--));
    }
}

/// <summary>The devices of a run, until released.</summary>
/// <param name="Names">In the form of <c>CUDA_VISIBLE_DEVICES</c>; empty if the run does not use CUDA.</param>
/// <param name="Release">Releases them.</param>
internal sealed record DeviceLease(IReadOnlyList<string> Names, Action Release)
{
    /// <summary>None.</summary>
    public static DeviceLease None { get; } = new([], () => { });
}
