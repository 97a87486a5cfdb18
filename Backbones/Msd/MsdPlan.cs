namespace Imta.MetaWeight.Backbones.Msd;

/// <summary>One layer of an MSDNet: its scales and channels, and the transition behind it where there is one.</summary>
/// <param name="Channels">Channels of a scale at the input, before the scale's growth factor.</param>
/// <param name="ScalesIn">Scales at the input.</param>
/// <param name="ScalesOut">Scales at the output.</param>
/// <param name="Reduced">Channels behind the transition, before the growth factor; null: no transition.</param>
internal sealed record MsdLayerPlan(long Channels, int ScalesIn, int ScalesOut, long? Reduced);

/// <summary>The layers of every block, from the options: depth per block, scales per layer, channels, transitions.</summary>
internal static class MsdPlan
{
    /// <summary>Layers of each block: <c>base</c>, then <c>step</c> (even) or <c>step · k + 1</c> (linGrow).</summary>
    public static int[] Depths(MsdNetOptions options)
        => [.. Enumerable.Range(0, options.Blocks).Select(k => k == 0 ? options.Base : options.StepMode == StepMode.Even ? options.Step : (options.Step * k) + 1)];

    /// <summary>The layers of each block, and the channels (before the growth factor) that its exit sees.</summary>
    public static (IReadOnlyList<MsdLayerPlan> Layers, long ChannelsAtExit)[] Blocks(MsdNetOptions options)
    {
        int[] depths = Depths(options);
        int total = depths.Sum();
        var blocks = new (IReadOnlyList<MsdLayerPlan>, long)[depths.Length];
        long channels = options.Channels;
        int number = 0;
        for (int k = 0; k < depths.Length; k++)
        {
            var layers = new List<MsdLayerPlan>();
            for (int i = 0; i < depths[k]; i++)
            {
                MsdLayerPlan layer = Layer(options, ++number, total, channels);
                layers.Add(layer);
                channels = layer.Reduced ?? channels + options.Growth;
            }

            blocks[k] = (layers, channels);
        }

        return blocks;
    }

    private static MsdLayerPlan Layer(MsdNetOptions options, int number, int total, long channels)
    {
        (int scalesIn, int scalesOut) = Scales(options, number, total);
        bool transition = options.Reduction > 0 && (options.Prune == Prune.Max
            ? scalesIn > scalesOut
            : number == total / 3 || number == 2 * total / 3);
        long behind = channels + options.Growth;
        return new MsdLayerPlan(channels, scalesIn, scalesOut, transition ? (long)Math.Floor(options.Reduction * behind) : null);
    }

    /// <summary>Scales in front of and behind layer <paramref name="number"/> (1 … <paramref name="total"/>).</summary>
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
