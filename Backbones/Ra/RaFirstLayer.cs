using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Ra;

/// <summary>The first layer of RANet: from the image to the first features of every sub-network, the highest resolution first.</summary>
internal sealed class RaFirstLayer : NamedModule
{
    private const int ImageChannels = 3;

    private readonly Func<Tensor, Pass, Tensor>[] _steps; // from the image, each to the next lower or equal resolution

    public RaFirstLayer(LayerFactory factory, RaFlowPlan[] flows, ImageKind images)
        : base(nameof(RaFirstLayer))
    {
        var parts = new Group();
        _steps = new Func<Tensor, Pass, Tensor>[flows.Length];
        register_module("layers", parts);
        for (int i = 0; i < flows.Length; i++)
        {
            RaFlowPlan flow = flows[^(i + 1)];
            RaFlowPlan? above = i == 0 ? null : flows[^i];
            if (above is null && images == ImageKind.ImageNet)
            {
                _steps[i] = parts.Add(new Stem(factory, ImageChannels, flow.Channels)).Forward;
                continue;
            }

            long stride = above is null || above.Scale == flow.Scale ? 1 : 2;
            ConvolutionChain chain = parts.Add(ConvolutionChain.Single(factory, above?.Channels ?? ImageChannels, flow.Channels, kernel: 3, stride, padding: 1));
            _steps[i] = (x, pass) => chain.Forward(x, pass);
        }
    }

    /// <summary>The first features of each sub-network, the one of the lowest resolution first.</summary>
    public Tensor[] Forward(Tensor images, Pass pass)
    {
        var features = new Tensor[_steps.Length];
        Tensor x = images;
        for (int i = 0; i < _steps.Length; i++)
        {
            features[^(i + 1)] = x = _steps[i](x, pass);
        }

        return features;
    }
}
