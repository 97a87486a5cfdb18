using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Tests.Backbones.Linearised;

namespace Imta.MetaWeight.Tests.Backbones.Exits;

/// <summary>Gradient Equilibrium (IMTA, section 3.1).</summary>
public sealed class GradientEquilibriumTests
{
    private static readonly ModifierOptions Head = With(EquilibriumScales.Head);
    private static readonly ModifierOptions All = With(EquilibriumScales.All);

    public static TheoryData<string, EquilibriumScales> Networks => new()
    {
        { "msdnet", EquilibriumScales.Head },
        { "msdnet", EquilibriumScales.All },
        { "ranet", EquilibriumScales.Head },
        { "ranet", EquilibriumScales.All },
    };

    [Theory]
    [MemberData(nameof(Networks))]
    public void Values_stay_bit_for_bit(string backbone, EquilibriumScales scales)
    {
        using DisposeScope scope = NewDisposeScope();
        (MultiExitNetwork plain, MultiExitNetwork equal, Tensor images) = Pair(backbone, With(scales));

        foreach (NormStatistics statistics in Enum.GetValues<NormStatistics>())
        {
            Values(equal.Forward(images, statistics)).Should().Equal(Values(plain.Forward(images, statistics)));
        }

        Values(equal.Linearise(images, null, NormStatistics.Batch).Logits).Should()
            .Equal(Values(plain.Linearise(images, null, NormStatistics.Batch).Logits));
        Values(equal.buffers()).Should().Equal(Values(plain.buffers()));
    }

    /// <summary>IMTA, eq. 5, on a network whose blocks hand on all that they make to the head and the next block alike.</summary>
    [Fact]
    public void On_a_chain_each_loss_reaches_a_block_by_one_over_the_exits_after_it()
    {
        using DisposeScope scope = NewDisposeScope();
        const int Exits = 4;
        using var random = new Generator(3);
        using var plain = new ChainNetwork(Exits, new EquilibriumOptions(), random);
        using var equal = new ChainNetwork(Exits, Head.Ge, random);
        equal.load_state_dict(plain.state_dict());
        Tensor images = randn([5, 3, 4, 4], float64, generator: random);

        for (int j = 0; j < Exits; j++)
        {
            double[][] expected = ByLoss(plain, images, j), measured = ByLoss(equal, images, j);
            for (int i = 0; i <= j; i++)
            {
                double share = 1.0 / (Exits - i); // 1/(K − i + 1), i from 1
                GoldenFile.RelativeError(measured[i], [.. expected[i].Select(slope => share * slope)]).Should()
                    .BeLessThan(1e-13, $"of loss {j + 1} at block {i + 1}");
                expected[i].Should().Contain(slope => slope != 0);
            }
        }
    }

    /// <summary>With every feature treated, the same holds for the blocks of whole networks.</summary>
    [Theory]
    [InlineData("msdnet")]
    [InlineData("ranet")]
    public void With_all_scales_each_loss_reaches_the_first_block_of_a_network_by_one_over_its_exits(string backbone)
    {
        using DisposeScope scope = NewDisposeScope();
        (MultiExitNetwork plain, MultiExitNetwork equal, Tensor images) = Pair(backbone, All);
        string first = backbone == "msdnet" ? "blocks.0." : "FirstLayer.";
        int[] ofFirst =
        [
            .. Enumerable.Range(0, plain.ParameterNames.Count)
                .Where(p => plain.ParameterNames[p].StartsWith(first, StringComparison.Ordinal)),
        ];

        for (int j = 0; j < plain.Exits; j++)
        {
            double[] expected = Gradient(plain, images, j, ofFirst), measured = Gradient(equal, images, j, ofFirst);
            GoldenFile.RelativeError(measured, [.. expected.Select(slope => slope / plain.Exits)]).Should()
                .BeLessThan(1e-10, $"of loss {j + 1}");
        }
    }

    [Theory]
    [MemberData(nameof(Networks))]
    public void The_linearised_pass_and_autograd_rescale_alike(string backbone, EquilibriumScales scales)
    {
        using DisposeScope scope = NewDisposeScope();
        (_, MultiExitNetwork network, Tensor images) = Pair(backbone, With(scales));
        using var random = new Generator(8);
        var probe = new Linearised.Probe(network, images, random);

        probe.ErrorOfGradient().Should().BeLessThan(1e-10);
        probe.ErrorOfTangent().Should().BeLessThan(1e-10, "autograd's own tangent goes through its double backward");
        probe.Asymmetry().Should().BeLessThan(1e-12);
        probe.ErrorOfTangentByDifferences().Should().BeGreaterThan(1e-3, "it is no derivative of the values");
        network.HasTrueGradients.Should().BeFalse();
    }

    private static ModifierOptions With(EquilibriumScales scales)
        => new() { Ge = new EquilibriumOptions { Enabled = true, Scales = scales } };

    private static (MultiExitNetwork Plain, MultiExitNetwork Equal, Tensor Images) Pair(string backbone, ModifierOptions modifiers)
    {
        using var random = new Generator(2);
        MultiExitNetwork plain = Build(new ModifierOptions()), equal = Build(modifiers);
        equal.load_state_dict(plain.state_dict());
        return (plain, equal, randn([4, 3, 32, 32], float64, generator: random));

        MultiExitNetwork Build(ModifierOptions changes)
            => backbone == "msdnet" ? SmallMsdNet.Build(float64, random, changes, blocks: 3) : SmallRaNet.Build(float64, random, changes);
    }

    /// <summary>The gradient of the sum of exit j's squared logits by each block's kernel.</summary>
    private static double[][] ByLoss(ChainNetwork network, Tensor images, int j)
    {
        Tensor loss = network.Forward(images, NormStatistics.Batch)[j].pow(Held(2)).sum();
        IList<Tensor> gradients = autograd.grad([loss], [.. network.Kernels.Take(j + 1)]);
        return [.. gradients.Select(GoldenFile.Values)];
    }

    private static double[] Gradient(MultiExitNetwork network, Tensor images, int j, int[] parameters)
    {
        Tensor loss = network.Forward(images, NormStatistics.Batch)[j].pow(Held(2)).sum();
        IList<Tensor> gradients = autograd.grad([loss], [.. parameters.Select(p => network.Parameters[p])], allow_unused: true);
        return Values(gradients.Where(gradient => gradient is { IsInvalid: false }));
    }

    private static double[] Values(IEnumerable<Tensor> tensors) => [.. tensors.SelectMany(GoldenFile.Values)];
}
