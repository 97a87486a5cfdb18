using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Sweeps;

namespace Imta.MetaWeight.Tests.Experiments.Sweeps;

public sealed class DevicePoolTests
{
    [Fact]
    public void Runs_take_the_devices_that_fewest_use()
    {
        var pool = new DevicePool(["0", "GPU-b", "2"]);

        DeviceLease first = pool.Acquire(1), second = pool.Acquire(2), third = pool.Acquire(1);
        first.Names.Should().Equal("0");
        second.Names.Should().Equal("GPU-b", "2");
        third.Names.Should().Equal("0");
        second.Release();
        pool.Acquire(1).Names.Should().Equal("GPU-b");
        pool.Acquire(5).Names.Should().Equal("0", "GPU-b", "2");
    }

    [Fact]
    public void Without_devices_there_is_nothing_to_take() => new DevicePool([]).Acquire(2).Names.Should().BeEmpty();

    [Fact]
    public void As_long_as_runs_ask_for_no_more_than_there_are_no_two_share_one() => Prop.ForAll(Arb.From(
        from devices in Gen.Choose(1, 8)
        from size in Gen.Choose(1, devices)
        from returns in Gen.Elements(true, false).ListOf()
        select (devices, size, returns)),
        c =>
        {
            var pool = new DevicePool([.. Enumerable.Range(0, c.devices).Select(device => $"{device}")]);
            var running = new Queue<DeviceLease>();
            foreach (bool ends in c.returns)
            {
                if (ends || running.Count == c.devices / c.size)
                {
                    running.TryDequeue(out DeviceLease? ended);
                    ended?.Release();
                }
                else
                {
                    running.Enqueue(pool.Acquire(c.size));
                }

                running.SelectMany(share => share.Names).Should().OnlyHaveUniqueItems();
                running.Where(share => share.Names.Count != c.size).Should().BeEmpty();
            }
        }).Hold();
}
