using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Backbones.Msd;

/// <summary>A stage of an MSDNet block: maps one tensor per scale to one tensor per scale, the finest first.</summary>
internal abstract class MsdStage(string name) : NamedModule(name)
{
    /// <summary>The scales' features after this stage; the last entry is the coarsest scale.</summary>
    public abstract Tensor[] Forward(Tensor[] scales, Pass pass);
}

/// <summary>The first layer: from the image to every scale, each coarser one from the previous one with stride 2.</summary>
internal sealed class MsdFirstLayer : MsdStage
{
    private readonly Stem? _stem;
    private readonly ConvolutionChain[] _chains; // one per scale, except the stem's

    public MsdFirstLayer(LayerFactory factory, MsdNetOptions options, ImageKind images)
        : base(nameof(MsdFirstLayer))
    {
        long[] channels = [3, .. options.GrowthFactors.Select(factor => (long)options.Channels * factor)];
        _stem = images.HasStem ? new Stem(factory, channels[0], channels[1]) : null;
        int first = _stem is null ? 0 : 1;
        _chains = [.. Enumerable.Range(first, options.GrowthFactors.Count - first).Select(s =>
            ConvolutionChain.Unit(factory, channels[s], channels[s + 1], kernel: 3, stride: s == 0 ? 1 : 2, padding: 1))];
        register_module("layers", new Group(_stem is null ? _chains : [_stem, .. _chains]));
    }

    public override Tensor[] Forward(Tensor[] scales, Pass pass)
    {
        var features = new List<Tensor>();
        Tensor x = scales[0];
        if (_stem is not null)
        {
            features.Add(x = _stem.Forward(x, pass));
        }

        foreach (ConvolutionChain chain in _chains)
        {
            features.Add(x = chain.Forward(x, pass));
        }

        return [.. features];
    }
}

/// <summary>
/// A layer of MSDNet (Huang et al., 2018, Figure 2): at each scale, the features so far, concatenated with new ones from the same scale
/// and, if there is one, from the next finer scale.
/// </summary>
internal sealed class MsdLayer : MsdStage
{
    private readonly MsdJoin[] _joins;
    private readonly bool _dropsFinest;
    // Per input scale, the chains that read it: that of the same scale, then that of the next coarser one. Null without bottlenecks: the
    // first convolutions that read a scale then differ in stride.
    private readonly SharedConvolutions[]? _shared;

    /// <param name="factory">Creates the parameters.</param>
    /// <param name="options">The network's shape.</param>
    /// <param name="plan">Its scales and channels.</param>
    public MsdLayer(LayerFactory factory, MsdNetOptions options, MsdLayerPlan plan)
        : base(nameof(MsdLayer))
    {
        (int scalesIn, int scalesOut, int all) = (plan.ScalesIn, plan.ScalesOut, options.GrowthFactors.Count);
        _dropsFinest = scalesIn > scalesOut;
        _joins = new MsdJoin[scalesOut];
        for (int j = 0; j < scalesOut; j++)
        {
            int scale = all - scalesOut + j;
            int? finer = j > 0 || _dropsFinest ? scale - 1 : null;
            _joins[j] = new MsdJoin(factory, options, plan, scale, finer);
        }

        register_module("layers", new Group(_joins));
        _shared = options.Bottleneck
            ? [.. Enumerable.Range(0, scalesIn).Select(scale => new SharedConvolutions([.. Readers(scale)]))]
            : null;
    }

    public override Tensor[] Forward(Tensor[] scales, Pass pass)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor[][]? shared = _shared is not null && SharedConvolutions.AppliesTo(pass)
            ? [.. scales.Select((x, scale) => _shared[scale].Forward(x, pass))]
            : null;
        int skipped = _dropsFinest ? 1 : 0;
        var features = new Tensor[_joins.Length];
        for (int j = 0; j < features.Length; j++)
        {
            int own = j + skipped;
            ChainInput? finer = own > 0 ? new(scales[own - 1], shared?[own - 1][^1]) : null;
            features[j] = scope.MoveToOuter(_joins[j].Forward(new(scales[own], shared?[own][0]), finer, pass));
        }

        return features;
    }

    private IEnumerable<ConvolutionChain> Readers(int scale)
    {
        int join = _dropsFinest ? scale - 1 : scale;
        if (join >= 0)
        {
            yield return _joins[join].Normal;
        }

        if (join + 1 < _joins.Length)
        {
            yield return _joins[join + 1].Down!;
        }
    }
}

/// <summary>The input of a chain, and what it continues from if its first convolution was fused with others.</summary>
internal sealed record ChainInput(Tensor X, Tensor? Shared)
{
    /// <summary>The chain's output.</summary>
    public Tensor Through(ConvolutionChain chain, Pass pass, Tensor? destination)
        => Shared is null ? chain.Forward(X, pass, destination) : chain.ForwardFrom(Shared, pass, destination);
}

/// <summary>One scale of a layer: [its features, new ones from the finer scale, new ones from itself].</summary>
internal sealed class MsdJoin : NamedModule
{
    private readonly ConvolutionChain? _down;
    private readonly ConvolutionChain _normal;
    private readonly long _reservedChannels;

    public MsdJoin(LayerFactory factory, MsdNetOptions options, MsdLayerPlan plan, int scale, int? finer)
        : base(nameof(MsdJoin))
    {
        long channels = plan.Channels;
        _reservedChannels = (long)plan.LaterJoins[scale] * options.Growth * options.GrowthFactors[scale];
        long added = (long)options.Growth * options.GrowthFactors[scale];
        if (finer is { } source)
        {
            added /= 2;
            _down = Chain(source, stride: 2);
            register_module("conv_down", _down);
        }

        _normal = Chain(scale, stride: 1);
        register_module("conv_normal", _normal);

        ConvolutionChain Chain(int from, long stride)
        {
            long input = channels * options.GrowthFactors[from];
            return options.Bottleneck
                ? ConvolutionChain.Bottleneck(factory, input, added, options.BottleneckFactors[from], stride)
                : ConvolutionChain.Unit(factory, input, added, kernel: 3, stride, padding: 1);
        }
    }

    public ConvolutionChain Normal => _normal;

    public ConvolutionChain? Down => _down;

    public Tensor Forward(ChainInput own, ChainInput? finer, Pass pass)
    {
        var normal = new JoinedPart(_normal.Channels, destination => own.Through(_normal, pass, destination));
        JoinedPart[] added = _down is null
            ? [normal]
            : [new JoinedPart(_down.Channels, destination => finer!.Through(_down, pass, destination)), normal];
        return Operators.Join(own.X, added, pass, _reservedChannels);
    }
}

/// <summary>A transition: a 1×1 unit per scale that reduces the channels.</summary>
internal sealed class MsdTransition : MsdStage
{
    private readonly ConvolutionChain[] _scales;

    public MsdTransition(LayerFactory factory, MsdNetOptions options, long channels, long reduced, int scales)
        : base(nameof(MsdTransition))
    {
        IEnumerable<int> factors = options.GrowthFactors.Skip(options.GrowthFactors.Count - scales);
        _scales = [.. factors.Select(factor =>
            ConvolutionChain.Unit(factory, channels * factor, reduced * factor, kernel: 1, stride: 1, padding: 0))];
        register_module("m", new Group(_scales));
    }

    public override Tensor[] Forward(Tensor[] scales, Pass pass)
    {
        var features = new Tensor[_scales.Length];
        for (int s = 0; s < features.Length; s++)
        {
            features[s] = _scales[s].Forward(scales[s], pass);
        }

        return features;
    }
}
