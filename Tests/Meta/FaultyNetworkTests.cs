using Imta.MetaWeight.Tests.Experiments;

namespace Imta.MetaWeight.Tests.Meta;

/// <summary>Faults of a user's network end in an exception that names them, in a process that is still there to say so.</summary>
public sealed class FaultyNetworkTests
{
    [Theory]
    [InlineData(NetworkFault.None, "Unrolled", null)]
    [InlineData(NetworkFault.OneExitIgnoresFeatures, "Unrolled", null)]
    [InlineData(NetworkFault.OneExitIgnoresFeatures, "FiniteDifference", null)]
    [InlineData(NetworkFault.None, FaultyNetwork.Published, null)]
    [InlineData(NetworkFault.OneExitIgnoresFeatures, FaultyNetwork.Published, "but no exit depends on head1; leave out --published")]
    [InlineData(NetworkFault.AllExitsIgnoreFeatures, "Unrolled", "no trainable parameter affects the losses of Faulty (shape [3, 2])")]
    [
        InlineData(
            NetworkFault.AllExitsIgnoreFeatures, "FiniteDifference",
            "no trainable parameter affects the losses of Faulty (shape [3, 2])")
    ]
    [
        InlineData(
            NetworkFault.ForgetsItsParameters, "Unrolled",
            "a layer uses a parameter of shape [4, 12] that the network does not train: register it")
    ]
    [InlineData(NetworkFault.Overwrites, "Unrolled", "the gradient of the losses of Faulty cannot be computed: one of the variables "
        + "needed for gradient computation has been modified")]
    [InlineData(NetworkFault.ObjectiveIsNoScalar, "Unrolled", "the shape of my objective is [6], but a scalar is needed")]
    public void Is_told(NetworkFault fault, string method, string? message)
    {
        using ImtaProcess program = ImtaProcess.StartCommand(
            Path.GetTempPath(), ImtaProcess.Tests(FaultyNetwork.Program, $"{fault}", method));
        ImtaProcess.Result result = program.End();

        result.Code.Should().Be(message is null ? 0 : 3, result.All);
        if (message is not null)
        {
            result.Error.TrimEnd('\n').Should().Contain(message).And.NotContain("\n");
        }
    }
}
