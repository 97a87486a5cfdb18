namespace Imta.MetaWeight.Backbones.Msd;

/// <summary>One layer of an MSDNet: its scales and channels, and the transition after it, if there is one.</summary>
/// <param name="Channels">Channels of a scale at the input, before the scale's growth factor.</param>
/// <param name="ScalesIn">Scales at the input.</param>
/// <param name="ScalesOut">Scales at the output.</param>
/// <param name="Reduced">Channels after the transition, before the growth factor; null: no transition.</param>
internal sealed record MsdLayerPlan(long Channels, int ScalesIn, int ScalesOut, long? Reduced)
{
    /// <summary>For each scale, the finest first: how many later layers append features to those of this one.</summary>
    public IReadOnlyList<int> LaterJoins { get; init; } = [];
}

/// <summary>The layers of every block, from the options: depth per block, scales per layer, channels, transitions.</summary>
internal static class MsdPlan
{
    /// <summary>Layers of each block: <c>base</c>, then <c>step</c> (even) or <c>step · k + 1</c> (linGrow).</summary>
    public static int[] Depths(MsdNetOptions options)
        => [.. Enumerable.Range(0, options.Blocks).Select(k =>
            k == 0 ? options.Base
            : options.StepMode == StepMode.Even ? options.Step : (options.Step * k) + 1)];

    /// <summary>The layers of each block, and the channels (before the growth factor) that its exit reads.</summary>
    public static (IReadOnlyList<MsdLayerPlan> Layers, long ChannelsAtExit)[] Blocks(MsdNetOptions options)
    {
        int[] depths = Depths(options);
        List<MsdLayerPlan> all = Layers(options, depths.Sum());
        var blocks = new (IReadOnlyList<MsdLayerPlan>, long)[depths.Length];
        for (int k = 0; k < depths.Length; k++)
        {
            MsdLayerPlan[] layers = [.. all.Skip(depths[..k].Sum()).Take(depths[k])];
            blocks[k] = (layers, layers.Length > 0 ? ChannelsAfter(options, layers[^1]) : k > 0 ? blocks[k - 1].Item2 : options.Channels);
        }

        return blocks;
    }

    private static List<MsdLayerPlan> Layers(MsdNetOptions options, int total)
    {
        var layers = new List<MsdLayerPlan>();
        long channels = options.Channels;
        for (int number = 1; number <= total; number++)
        {
            layers.Add(Layer(options, number, total, channels));
            channels = ChannelsAfter(options, layers[^1]);
        }

        var later = new int[options.GrowthFactors.Count];
        for (int i = total - 1; i >= 0; i--)
        {
            int dropped = later.Length - layers[i].ScalesOut;
            later = layers[i].Reduced is null ? later : new int[later.Length];
            layers[i] = layers[i] with { LaterJoins = later };
            later = [.. later.Select((joins, scale) => scale < dropped ? 0 : joins + 1)];
        }

        return layers;
    }

    /// <summary>Channels after a layer and its transition.</summary>
    private static long ChannelsAfter(MsdNetOptions options, MsdLayerPlan layer) => layer.Reduced ?? layer.Channels + options.Growth;

    private static MsdLayerPlan Layer(MsdNetOptions options, int number, int total, long channels)
    {
        (int scalesIn, int scalesOut) = Scales(options, number, total);
        bool transition = options.Reduction > 0 && (options.Prune == Prune.Max
            ? scalesIn > scalesOut
            : number == total / 3 || number == 2 * total / 3);
        long after = channels + options.Growth;
        return new MsdLayerPlan(channels, scalesIn, scalesOut, transition ? (long)Math.Floor(options.Reduction * after) : null);
    }

    /// <summary>Scales before and after layer <paramref name="number"/> (1 … <paramref name="total"/>).</summary>
    private static (int In, int Out) Scales(MsdNetOptions options, int number, int total)
    {
        int all = options.GrowthFactors.Count;
        if (options.Prune == Prune.Min)
        {
            return (Math.Min(all, total - number + 2), Math.Min(all, total - number + 1));
        }

        int interval = (total + all - 1) / all;
        return (all - (Math.Max(0, number - 2) / interval), all - ((number - 1) / interval));
    }
}
