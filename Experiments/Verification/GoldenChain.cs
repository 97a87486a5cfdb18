using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>A 3×3 convolution, batch norm and ReLU per exit, the second of stride 2; exits: mean over pixels, linear layer.</summary>
internal sealed class GoldenChain : MultiExitNetwork
{
    private readonly ConvolutionChain[] _blocks;
    private readonly Linear[] _heads;

    public GoldenChain(GoldenFile golden, string prefix)
        : base(nameof(GoldenChain))
    {
        LayerFactory factory = GoldenNetworks.Factory(golden["config/channels"].device);
        int[] channels = golden.Ints("config/channels");
        (Exits, Classes) = (channels.Length, (int)golden[$"{prefix}state/head0.bias"].shape[0]);
        _blocks = [.. channels.Select((output, k) => ConvolutionChain.Unit(
            factory, k == 0 ? 3 : channels[k - 1], output, kernel: 3, stride: k == 1 ? 2 : 1, padding: 1))];
        _heads = [.. channels.Select(width => new Linear(factory, width, Classes))];
        for (int k = 0; k < Exits; k++)
        {
            register_module(MetaGfCase.Key($"block{k}"), _blocks[k]);
            register_module(MetaGfCase.Key($"head{k}"), _heads[k]);
        }
    }

    public override int Exits { get; }

    public override int Classes { get; }

    public override bool IsLinearisable => true;

    /// <summary>The name of a parameter or buffer in the files.</summary>
    public static string Published(string name)
    {
        string[] parts = name.Split('.');
        return parts is [var block, "net", var layer, var last]
            ? $"{(layer == "0" ? "conv" : "bn")}{block["block".Length..]}.{last}"
            : name;
    }

    public void LoadState(GoldenFile golden, string prefix)
    {
        using IDisposable noGrad = no_grad();
        foreach ((string name, Tensor value) in state_dict())
        {
            if (golden.Contains($"{prefix}/{Published(name)}"))
            {
                value.copy_(golden[$"{prefix}/{Published(name)}"]);
            }
        }
    }

    protected override Tensor[] Block(int k, Tensor[] features, Pass pass) => [_blocks[k].Forward(features[0], pass)];

    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
        => _heads[k].Forward(Operators.MeanPool(features[0], features[0].size(2), pass), pass);
}
