namespace Imta.MetaWeight.Backbones.Ra;

/// <summary>A block of a sub-network of RANet.</summary>
/// <param name="Flow">Its sub-network.</param>
/// <param name="Channels">Channels at its input.</param>
/// <param name="Layers">The number of its layers; each adds the sub-network's growth.</param>
/// <param name="Low">
/// The corresponding block of the previous sub-network, whose features it fuses; null: it fuses none.
/// </param>
/// <param name="HalvesResolution">Whether its last layer has a stride of 2.</param>
/// <param name="Fused">Channels taken at its end from the last features of <paramref name="Low"/>.</param>
/// <param name="Reduced">Channels after its transition; null: it has none.</param>
internal sealed record RaBlockPlan(
    RaFlowPlan Flow, long Channels, int Layers, RaBlockPlan? Low, bool HalvesResolution, long Fused, long? Reduced)
{
    /// <summary>Channels after the given number of its layers.</summary>
    public long ChannelsAfter(int layers) => Channels + (layers * Flow.Growth);

    /// <summary>Channels that later layers and the block's end append to those of a layer, at its height and width.</summary>
    public long LaterChannels(int layer)
    {
        int end = HalvesResolution && layer < Layers - 1 ? Layers - 1 : Layers;
        return ((end - layer - 1) * Flow.Growth) + (end == Layers ? Fused : 0);
    }

    /// <summary>Channels after the block.</summary>
    public long Out => Reduced ?? ChannelsAfter(Layers) + Fused;
}

/// <summary>What the blocks of a sub-network share.</summary>
/// <param name="Channels">Channels of its first features.</param>
/// <param name="Growth">Channels that a layer adds.</param>
/// <param name="Width">Bottleneck width, in multiples of the added channels.</param>
/// <param name="Scale">Its resolution level; 1 is the lowest.</param>
internal sealed record RaFlowPlan(long Channels, long Growth, int Width, int Scale);

/// <summary>The blocks of every sub-network, from the options.</summary>
internal static class RaPlan
{
    /// <summary>The sub-networks, the lowest resolution first.</summary>
    public static RaFlowPlan[] Flows(RaNetOptions options) => [.. options.ScaleList.Select((scale, f) => new RaFlowPlan(
        (long)options.Channels * options.GrowthFactors[f], (long)options.Growth * options.GrowthFactors[f],
        options.BottleneckFactors[f], scale))];

    /// <summary>The blocks of each sub-network.</summary>
    public static IReadOnlyList<RaBlockPlan>[] Blocks(RaNetOptions options)
    {
        RaFlowPlan[] flows = Flows(options);
        var blocks = new IReadOnlyList<RaBlockPlan>[flows.Length];
        for (int f = 0; f < flows.Length; f++)
        {
            blocks[f] = FlowBlocks(options, flows[f], f == 0 ? [] : blocks[f - 1], halvings: Halvings(options, flows[f], f));
        }

        return blocks;
    }

    private static List<RaBlockPlan> FlowBlocks(
        RaNetOptions options, RaFlowPlan flow, IReadOnlyList<RaBlockPlan> before, HashSet<int> halvings)
    {
        var blocks = new List<RaBlockPlan>();
        int count = before.Count + (before.Count == 0 ? options.Blocks : options.BlockStep);
        HashSet<int> transitions = [.. Enumerable.Range(1, flow.Scale - 1).Select(i => i * count / flow.Scale)];
        long channels = flow.Channels;
        for (int number = 1; number <= count; number++)
        {
            int layers = options.StepMode == StepMode.Even ? options.Step : options.Step * number;
            RaBlockPlan? low = number <= before.Count ? before[number - 1] : null;
            long after = channels + (layers * flow.Growth);
            long fused = low is null ? 0 : (long)Math.Floor(after * options.Compress);
            long? reduced = transitions.Contains(number) ? (long)Math.Floor(options.Reduction * (after + fused)) : null;
            blocks.Add(new RaBlockPlan(flow, channels, layers, low, low is not null && halvings.Contains(number), fused, reduced));
            channels = blocks[^1].Out;
        }

        return blocks;
    }

    /// <summary>
    /// The numbers of the blocks that halve the resolution, one for each level above the lowest: the block counts of the nearest earlier
    /// sub-networks.
    /// </summary>
    private static HashSet<int> Halvings(RaNetOptions options, RaFlowPlan flow, int number)
        => [.. Enumerable.Range(0, number).Reverse().Take(flow.Scale - 1)
            .Select(earlier => options.Blocks + (earlier * options.BlockStep))];
}
