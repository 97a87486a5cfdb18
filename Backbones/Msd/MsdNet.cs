using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Msd;

/// <summary>
/// MSDNet for CIFAR or ImageNet (Huang et al., "Multi-Scale Dense Networks", ICLR 2018), with the published code's names.
/// </summary>
public sealed class MsdNet : HeadedNetwork
{
    private readonly MsdPart[][] _blocks;

    /// <summary>Builds the network.</summary>
    /// <param name="options">Its shape.</param>
    /// <param name="images">The images it is for.</param>
    /// <param name="classes">C.</param>
    /// <param name="factory">Starts its parameters.</param>
    /// <param name="modifiers">IMTA's changes of its graph; null: none.</param>
    /// <exception cref="ArgumentException">The options ask for a network that cannot be built.</exception>
    public MsdNet(MsdNetOptions options, ImageKind images, int classes, LayerFactory factory, ModifierOptions? modifiers = null)
        : base("MSDNet", modifiers ?? new ModifierOptions(), classes)
    {
        MsdForm form = MsdForm.For(images);
        (IReadOnlyList<MsdLayerPlan> Layers, long ChannelsAtExit)[] plan = Checked(options, form);
        _blocks = new MsdPart[plan.Length][];
        for (int k = 0; k < plan.Length; k++)
        {
            _blocks[k] = [.. Parts(factory, options, form, plan[k].Layers, isFirst: k == 0)];
            AddExit(factory, images, plan[k].ChannelsAtExit * options.GrowthFactors[^1]);
        }

        register_module("blocks", new Group(_blocks.Select(parts => new Group(parts))));
        RegisterExits(factory);
    }

    /// <inheritdoc/>
    protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
    {
        foreach (MsdPart part in _blocks[k])
        {
            features = part.Forward(features, pass);
        }

        return features;
    }

    private static IEnumerable<MsdPart> Parts(LayerFactory factory, MsdNetOptions options, MsdForm form, IReadOnlyList<MsdLayerPlan> layers, bool isFirst)
    {
        if (isFirst)
        {
            yield return new MsdFirstLayer(factory, options, form);
        }

        foreach (MsdLayerPlan layer in layers)
        {
            yield return new MsdLayer(factory, options, layer);
            if (layer.Reduced is { } reduced)
            {
                yield return new MsdTransition(factory, options, layer.Channels + options.Growth, reduced, layer.ScalesOut);
            }
        }
    }

    private static (IReadOnlyList<MsdLayerPlan> Layers, long ChannelsAtExit)[] Checked(MsdNetOptions options, MsdForm form)
    {
        (IReadOnlyList<MsdLayerPlan> Layers, long ChannelsAtExit)[] plan = MsdPlan.Blocks(options);
        if (options.GrowthFactors.Count != form.Scales || options.BottleneckFactors.Count != form.Scales)
        {
            throw new ArgumentException($"growthFactors lists {options.GrowthFactors.Count} scales and bottleneckFactors {options.BottleneckFactors.Count}: an MSDNet for {form.Images} images has {form.Scales}, so each lists {form.Scales} factors.", nameof(options));
        }

        // A layer that drops a scale has to leave one, and a transition has to leave a channel.
        if (plan.SelectMany(block => block.Layers).Any(layer => layer.ScalesOut < 1 || layer.Reduced < 1))
        {
            throw new ArgumentException("model.msdnet leaves a layer without scales or channels: fewer growthFactors, more layers, or a larger reduction.", nameof(options));
        }

        return plan;
    }
}
