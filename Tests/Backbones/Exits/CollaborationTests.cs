using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Tests.Backbones.Linearised;

namespace Imta.MetaWeight.Tests.Backbones.Exits;

/// <summary>Inline Subnetwork Collaboration (IMTA, section 3.2), in a network that has it from the start.</summary>
public sealed class CollaborationTests
{
    public static TheoryData<string, Transfer, TransferGradient> Settings
    {
        get
        {
            var settings = new TheoryData<string, Transfer, TransferGradient>();
            foreach (string backbone in new[] { "msdnet", "ranet" })
            {
                foreach (Transfer transfer in Enum.GetValues<Transfer>())
                {
                    settings.Add(backbone, transfer, TransferGradient.Stop);
                    settings.Add(backbone, transfer, TransferGradient.Flow);
                }
            }

            return settings;
        }
    }

    [Theory]
    [MemberData(nameof(Settings))]
    public void An_exits_loss_reaches_the_head_before_only_where_the_gradient_flows(
        string backbone, Transfer transfer, TransferGradient gradient)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(4);
        using MultiExitNetwork network = Build(backbone, transfer, gradient, random);
        Tensor images = randn([4, 3, 32, 32], float64, generator: random);

        for (int j = 1; j < network.Exits; j++)
        {
            bool[] byAutograd = Reached(network, ByAutograd(network, images, j), j), byPass = Reached(
                network, ByPass(network, images, j), j);
            byAutograd.Should().OnlyContain(reached => reached == (gradient == TransferGradient.Flow));
            byPass.Should().Equal(byAutograd);
        }

        network.HasTrueGradients.Should().Be(gradient == TransferGradient.Flow);
    }

    [Theory]
    [MemberData(nameof(Settings))]
    public void The_linearised_pass_is_that_of_autograd(string backbone, Transfer transfer, TransferGradient gradient)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(4);
        using MultiExitNetwork network = Build(backbone, transfer, gradient, random);
        var probe = new Probe(network, randn([5, 3, 32, 32], float64, generator: random), random);

        probe.ErrorOfLogits().Should().BeLessThan(1e-11);
        probe.Asymmetry().Should().BeLessThan(1e-12);
        probe.ErrorOfTangent().Should().BeLessThan(1e-10);
        probe.ErrorOfGradient().Should().BeLessThan(1e-9);
        if (gradient == TransferGradient.Flow)
        {
            probe.ErrorOfTangentByDifferences().Should().BeLessThan(1e-4);
        }
    }

    [Fact]
    public void Identity_adds_the_logits_of_the_exit_before()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(4);
        using MsdNet alone = SmallMsdNet.Build(float64, random, blocks: 3);
        using MultiExitNetwork together = Build("msdnet", Transfer.Identity, TransferGradient.Stop, random);
        together.load_state_dict(alone.state_dict());
        Tensor images = randn([4, 3, 32, 32], float64, generator: random);

        Tensor[] own = alone.Forward(images, NormStatistics.Running), sums = together.Forward(images, NormStatistics.Running);

        for (int k = 0; k < sums.Length; k++)
        {
            double[] expected = GoldenFile.Values(own[..(k + 1)].Aggregate((a, b) => a.add(b, One)));
            GoldenFile.RelativeError(GoldenFile.Values(sums[k]), expected).Should().BeLessThan(1e-14);
        }
    }

    /// <summary>t is a linear layer C → W, batch norm and ReLU; the next exit's linear layer has W more inputs.</summary>
    [Theory]
    [InlineData("msdnet")]
    [InlineData("ranet")]
    public void It_is_counted_in_multiply_adds_and_parameters(string backbone)
    {
        const int Width = 128, Classes = SmallMsdNet.Classes;
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(4);
        using MultiExitNetwork alone = Build(backbone, random, new CollaborationOptions());
        using MultiExitNetwork fc = Build(backbone, Transfer.Fc, TransferGradient.Stop, random), identity = Build(
            backbone, Transfer.Identity, TransferGradient.Stop, random);

        (ExitCost[] plain, ExitCost[] withFc, ExitCost[] withIdentity) = (Costs(alone), Costs(fc), Costs(identity));

        const long Weights = (Classes * Width) + Width + (Width * Classes);
        for (int k = 0; k < plain.Length; k++)
        {
            withFc[k].Should()
                .Be(new ExitCost(plain[k].Macs + (k * (Weights + Width)), plain[k].Parameters + (k * (Weights + (2 * Width)))));
            withIdentity[k].Should().Be(new ExitCost(plain[k].Macs + (k * Classes), plain[k].Parameters));
        }

        static ExitCost[] Costs(MultiExitNetwork network) => [.. network.Cost(32).Exits];
    }

    private static MultiExitNetwork Build(string backbone, Transfer transfer, TransferGradient gradient, Generator random)
        => Build(backbone, random, new CollaborationOptions { Enabled = true, Transfer = transfer, Gradient = gradient });

    private static MultiExitNetwork Build(string backbone, Generator random, CollaborationOptions isc)
    {
        var modifiers = new ModifierOptions { Isc = isc };
        return backbone == "msdnet"
            ? SmallMsdNet.Build(float64, random, modifiers, blocks: 3)
            : SmallRaNet.Build(float64, random, modifiers);
    }

    private static IReadOnlyList<Tensor?> ByAutograd(MultiExitNetwork network, Tensor images, int exit)
    {
        Tensor loss = network.Forward(images, NormStatistics.Batch)[exit].pow(Held(2)).sum();
        return
        [
            .. autograd.grad([loss], [.. network.Parameters], allow_unused: true)
                .Select(gradient => gradient is { IsInvalid: false } ? gradient : null),
        ];
    }

    private static IReadOnlyList<Tensor?> ByPass(MultiExitNetwork network, Tensor images, int exit)
    {
        Linearised.Probe probe = new(network, images, new Generator(1));
        return probe.Pass.Gradient([.. probe.Pass.Logits.Select((z, k) => k == exit ? z.clone() : zeros_like(z))]);
    }

    /// <summary>Of each head before an exit, whether any of its parameters has a gradient that is not 0.</summary>
    private static bool[] Reached(MultiExitNetwork network, IReadOnlyList<Tensor?> gradients, int exit)
        => [.. Enumerable.Range(0, exit).Select(i =>
        network.ParameterNames.Zip(gradients)
            .Any(
                entry
                    => entry.First.StartsWith($"classifier.{i}.", StringComparison.Ordinal)
                        && entry.Second?.abs().max().item<double>() > 1e-13))];
}
