using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>
/// Small networks of every kind that leaves early, with running statistics, scales and shifts of a network that was trained.
/// </summary>
internal static class EarlyExitNetworks
{
    private const int Exits = 3;

    public static IReadOnlyList<string> Names { get; } =
    [
        "msdnet", "msdnet+ge", "msdnet+isc", "msdnet+ge+isc", "msdnet+identity", "msdnet, no bottleneck", "ranet", "ranet+ge", "ranet+isc",
        "msdnet, phase II", "ranet, phase II",
        "msdnet+boost", "ranet+boost+ge",
    ];

    public static MultiExitNetwork Build(string name, ScalarType type, Generator random)
    {
        bool ranet = name.StartsWith("ranet", StringComparison.Ordinal), second = name.EndsWith("phase II", StringComparison.Ordinal);
        var modifiers = new ModifierOptions
        {
            Ge = new EquilibriumOptions { Enabled = name.Contains("+ge", StringComparison.Ordinal) },
            Boosting = new BoostingOptions
            {
                Enabled = name.Contains("+boost", StringComparison.Ordinal),
                Reweighting = 0.3,
                LastReweighting = 0.9,
            },
            Isc = new CollaborationOptions
            {
                Enabled = second || name.Contains("isc", StringComparison.Ordinal) || name.Contains("identity", StringComparison.Ordinal),
                Transfer = name.Contains("identity", StringComparison.Ordinal) ? Transfer.Identity : Transfer.Fc,
            },
        };
        ModifierOptions ofBackbone = second ? new() : modifiers;
        bool bottleneck = !name.Contains("no bottleneck", StringComparison.Ordinal);
        ExitHeadNetwork backbone = ranet
            ? SmallRaNet.Build(type, random, ofBackbone)
            : SmallMsdNet.Build(type, random, ofBackbone, Exits, bottleneck);
        MultiExitNetwork network = second
            ? new PhaseTwoNetwork(backbone, modifiers.Isc, FrozenNorm.Fixed, new LayerFactory(Initialisation.He, random, type, CPU))
            : backbone;
        Settle(network, random);
        return network;
    }

    private static void Settle(MultiExitNetwork network, Generator random)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        foreach ((string name, Tensor value) in network.state_dict())
        {
            if (name.EndsWith("running_var", StringComparison.Ordinal)
                || (name.EndsWith("weight", StringComparison.Ordinal) && value.dim() == 1))
            {
                value.copy_(rand(value.shape, value.dtype, generator: random).add(Held(0.5), One));
            }
            else if (name.EndsWith("running_mean", StringComparison.Ordinal) || name.EndsWith("bias", StringComparison.Ordinal))
            {
                value.copy_(randn(value.shape, value.dtype, generator: random).mul(Held(0.2)));
            }
        }
    }
}
