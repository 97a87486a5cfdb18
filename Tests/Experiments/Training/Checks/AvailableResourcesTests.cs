
namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

public sealed class AvailableResourcesTests : IDisposable
{
    private readonly TemporaryFolder _root = new();

    public void Dispose() => _root.Dispose();

    [Fact]
    public void Outside_Linux_nothing_says_how_much_memory_there_is() => AvailableResources.FreeMemory(_root.Path).Should().BeNull();

    [Fact]
    public void Without_control_groups_the_system_says_it()
    {
        Write("proc/meminfo", "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    9000 kB\n");

        AvailableResources.FreeMemory(_root.Path).Should().Be(9000 * 1024);
    }

    [Theory]
    [InlineData("max", "max", 9_216_000)]
    [InlineData("5000000", "max", 4_000_000)] // 5000000 - 2000000 in use, of which 1000000 are files
    [InlineData("max", "3000000", 2_500_000)] // the group above
    public void Version_2_groups_limit_it_on_every_level(string own, string above, long expected)
    {
        Write("proc/meminfo", "MemAvailable:    9000 kB\n");
        Write("proc/self/cgroup", "0::/user/run\n");
        WriteGroup("sys/fs/cgroup/user/run", own, 2_000_000, 1_000_000);
        WriteGroup("sys/fs/cgroup/user", above, 600_000, 100_000);

        AvailableResources.FreeMemory(_root.Path).Should().Be(expected);
    }

    [Fact]
    public void A_version_1_group_limits_it_also_where_only_its_root_is_visible()
    {
        Write("proc/meminfo", "MemAvailable:    9000 kB\n");
        Write("proc/self/cgroup", "5:cpu:/docker/1\n4:memory:/docker/1\n0::/\n");
        Write("sys/fs/cgroup/memory/memory.limit_in_bytes", "4000000\n");
        Write("sys/fs/cgroup/memory/memory.usage_in_bytes", "3000000\n");
        Write("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 500000\n");

        AvailableResources.FreeMemory(_root.Path).Should().Be(1_500_000);
    }

    [Fact]
    public void A_folder_that_is_not_there_yet_has_the_room_of_the_one_above()
    {
        AvailableResources available = AvailableResources.Query(_root.In("runs", "new"));

        available.Disk.Should().BeGreaterThan(0);
        Directory.Exists(_root.In("runs")).Should().BeFalse();
    }

    private void WriteGroup(string folder, string limit, long use, long files)
    {
        Write($"{folder}/memory.max", $"{limit}\n");
        Write($"{folder}/memory.current", $"{use}\n");
        Write($"{folder}/memory.stat", $"anon 1\ninactive_file {files}\n");
    }

    private void Write(string path, string content)
    {
        string file = _root.In(path.Split('/'));
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllText(file, content);
    }
}
