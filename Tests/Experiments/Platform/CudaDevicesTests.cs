
namespace Imta.MetaWeight.Tests.Experiments.Platform;

/// <summary>
/// What NVIDIA's tool is asked, and what its answers mean; the tool here is a script with the answers of a machine of two GPUs.
/// </summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class CudaDevicesTests : IDisposable
{
    private const string Script = """
        #!/bin/sh
        case "$*" in
          "--query-gpu=index --format=csv,noheader,nounits") printf '0\n1\n' ;;
          "--query-gpu=memory.free --id=0 --format=csv,noheader,nounits") echo 1000 ;;
          "--query-gpu=memory.free --id=1 --format=csv,noheader,nounits") echo 40123 ;;
          "--query-gpu=memory.free --id=GPU-5a --format=csv,noheader,nounits") echo '[N/A]' ;;
          *) echo "Invalid combination of input arguments." >&2; exit 2 ;;
        esac
        """;

    private readonly TemporaryFolder _folder = new();
    private readonly string? _path = Environment.GetEnvironmentVariable("PATH");
    private readonly string? _visible = Environment.GetEnvironmentVariable(CudaDevices.Variable);

    public CudaDevicesTests() => Environment.SetEnvironmentVariable(CudaDevices.Variable, null);

    public void Dispose()
    {
        Environment.SetEnvironmentVariable("PATH", _path);
        Environment.SetEnvironmentVariable(CudaDevices.Variable, _visible);
        _folder.Dispose();
    }

    [Fact]
    public void The_tool_names_the_devices_and_their_free_memory()
    {
        InstallTool();

        CudaDevices.Names.Should().Equal("0", "1");
        CudaDevices.FreeMemory(1).Should().Be(40123 * ByteSize.Mib);
        CudaDevices.FreeMemory(2).Should().BeNull();
        AvailableResources.Query(_folder.Path, gpu: 0).Memory.Should().Be(1000 * ByteSize.Mib);
        AvailableResources.Query(_folder.Path).Memory.Should()
            .BePositive("the CPU's").And.NotBe(1000 * ByteSize.Mib);
    }

    [Theory]
    [InlineData("1", 0, 40123L)]
    [InlineData(" 1 , 0", 1, 1000L)]
    [InlineData("GPU-5a,0", 0, null)] // a device that does not tell
    [InlineData("7", 0, null)] // one that is not there
    [InlineData("", 0, null)]
    public void The_variable_limits_and_orders_them(string visible, int number, long? mib)
    {
        InstallTool();
        Environment.SetEnvironmentVariable(CudaDevices.Variable, visible);

        CudaDevices.FreeMemory(number).Should().Be(mib * ByteSize.Mib);
    }

    [Fact]
    public void Without_the_tool_nothing_is_known()
    {
        Environment.SetEnvironmentVariable("PATH", _folder.Path);

        CudaDevices.Names.Should().BeEmpty();
        CudaDevices.FreeMemory(0).Should().BeNull();
    }

    private void InstallTool()
    {
        Skip.If(OperatingSystem.IsWindows(), "the tool is a shell script");
        ExecutableScript.Write(_folder.In("nvidia-smi"), Script);
        Environment.SetEnvironmentVariable("PATH", _folder.Path + ":/usr/bin:/bin");
    }
}
