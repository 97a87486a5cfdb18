using Imta.MetaWeight.Backbones;
using TorchSharp.Modules;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>Against numbers that the published MSDNet computed, in float64.</summary>
public sealed class MsdNetParityTests(ITestOutputHelper output)
{
    [SkippableTheory]
    [InlineData("msdnet_cifar_a.pt")]
    [InlineData("msdnet_cifar_b.pt")]
    [InlineData("msdnet_cifar_c.pt")]
    public void Names_and_shapes_are_the_published_ones(string file)
    {
        using DisposeScope scope = NewDisposeScope();
        using GoldenFile golden = GoldenFile.Open(file);
        using MsdNet network = GoldenMsdNet.Build(golden);

        static string Line(string name, Tensor tensor) => $"{name} [{string.Join(", ", tensor.shape)}] {tensor.dtype}";
        network.state_dict().Select(entry => Line(entry.Key, entry.Value))
            .Should().BeEquivalentTo(golden.KeysUnder("state").Select(name => Line(name, golden[$"state/{name}"])));
        network.Parameters.Sum(parameter => parameter.numel()).Should().Be(golden.Int("params_count"));
    }

    [SkippableTheory]
    [InlineData("msdnet_cifar_a.pt")]
    [InlineData("msdnet_cifar_b.pt")]
    [InlineData("msdnet_cifar_c.pt")]
    public void Logits_losses_statistics_and_gradients_are_the_published_ones(string file)
    {
        using DisposeScope scope = NewDisposeScope();
        using GoldenFile golden = GoldenFile.Open(file);
        using MsdNet network = GoldenMsdNet.Open(golden);
        var comparison = new GoldenComparison(golden);

        CheckAll(comparison, "eval_logits", network.Forward(golden["x"], NormStatistics.Running));
        foreach ((string name, Tensor tensor) in network.state_dict())
        {
            comparison.Check($"state/{name}", tensor); // evaluation has changed nothing
        }

        Tensor[] logits = network.Forward(golden["x"], NormStatistics.BatchAndUpdate);
        Tensor[] losses = [.. logits.Select(z => nn.functional.cross_entropy(z, golden["y"]))];
        CheckAll(comparison, "train_logits", logits);
        CheckAll(comparison, "train_ce", losses);
        foreach ((string name, Tensor buffer) in network.named_buffers())
        {
            comparison.Check($"after/{name}", buffer);
        }

        Tensor loss = stack(losses).sum();
        IList<Tensor> gradients = autograd.grad([loss], [.. network.Parameters]);
        comparison.Check("train_loss", loss);
        comparison.Check("grad_total_norm", Math.Sqrt(gradients.Sum(gradient => gradient.pow(2).sum().item<double>())));
        for (int p = 0; p < gradients.Count; p++)
        {
            comparison.Check($"grad/{network.ParameterNames[p]}", gradients[p]);
        }

        output.WriteLine(comparison.ToString());
        comparison.ShouldHold(isInput: key => key is "x" or "y" or "params_count" || key.StartsWith("config/", StringComparison.Ordinal));
    }

    [SkippableFact]
    public void A_state_of_another_network_is_refused()
    {
        using DisposeScope scope = NewDisposeScope();
        using GoldenFile golden = GoldenFile.Open("msdnet_cifar_b.pt");
        using MsdNet network = GoldenMsdNet.Open(golden);
        Dictionary<string, Tensor> state = network.state_dict();
        Parameter first = network.Parameters[0];
        state.Remove(network.ParameterNames[0]);
        state.Add("blocks.9.weight", first);

        network.Invoking(part => part.load_state_dict(state)).Should().Throw<InvalidOperationException>()
            .WithMessage($"*{network.ParameterNames[0]}*blocks.9.weight*");
    }

    private static void CheckAll(GoldenComparison comparison, string prefix, Tensor[] ofExits)
    {
        for (int k = 0; k < ofExits.Length; k++)
        {
            comparison.Check($"{prefix}/{k}", ofExits[k]);
        }
    }
}
