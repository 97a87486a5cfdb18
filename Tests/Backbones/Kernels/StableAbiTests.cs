using Imta.MetaWeight.Backbones.Kernels;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

public sealed class StableAbiTests
{
    [Fact]
    public void The_loaded_libtorch_is_the_one_that_was_written_for() => (StableAbi.aoti_torch_abi_version() >> 48).Should().Be(0x020A);

    [Fact]
    public void Another_version_is_refused_in_one_line()
    {
        FluentActions.Invoking(() => StableAbi.Check(0x0209_0100_0000_0000, "it")).Should().Throw<NotSupportedException>()
            .WithMessage("it is 2.9.1,*2.10*IMTA_LIBTORCH_VERSION=any*").Which.Message.Should().NotContain("\n");
        FluentActions.Invoking(() => StableAbi.Check(0, "it")).Should().Throw<NotSupportedException>()
            .WithMessage("it is older than 2.10*");
        FluentActions.Invoking(() => StableAbi.Check(0x020A_0300_0000_0000, "it")).Should().NotThrow("a patch changes no interface");
    }

    [Fact]
    public void Another_version_is_admitted_where_the_user_says_so()
    {
        Environment.SetEnvironmentVariable(TorchLibraries.VersionVariable, "any");
        try
        {
            FluentActions.Invoking(() => StableAbi.Check(0x020B_0000_0000_0000, "it")).Should().NotThrow();
        }
        finally
        {
            Environment.SetEnvironmentVariable(TorchLibraries.VersionVariable, null);
        }
    }
}
