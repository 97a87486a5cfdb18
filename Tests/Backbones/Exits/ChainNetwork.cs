using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Reports;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Backbones.Exits;

/// <summary>K convolutions in a row, each with tanh and a linear exit, on 3×4×4 images: the chain of IMTA's section 3.1.</summary>
internal sealed class ChainNetwork : MultiExitNetwork
{
    private const int Pixels = 3 * 4 * 4;

    private readonly Parameter[] _heads;

    public ChainNetwork(int exits, EquilibriumOptions equilibrium, Generator random)
        : base("Chain", equilibrium)
    {
        Exits = exits;
        Kernels = [.. Enumerable.Range(0, exits).Select(_ => Drawn(3, 3, 3, 3))];
        _heads = [.. Enumerable.Range(0, exits).Select(_ => Drawn(Classes, Pixels))];
        for (int k = 0; k < exits; k++)
        {
            register_parameter($"kernel{k}", Kernels[k]);
            register_parameter($"head{k}", _heads[k]);
        }

        Parameter Drawn(params long[] shape) => new(randn(shape, float64, generator: random).mul(Held(0.3)));
    }

    public Parameter[] Kernels { get; }

    public override int Exits { get; }

    public override int Classes => 3;

    protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
        => [nn.functional.conv2d(features[0], pass[Kernels[k]], padding: [1, 1]).tanh()];

    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
        => nn.functional.linear(features[0].flatten(1), pass[_heads[k]]);
}
