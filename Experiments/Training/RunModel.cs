using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>What a run trains: the backbone with its optimiser, the weighting where weights are learned, and the loop over both.</summary>
internal sealed class RunModel : IDisposable
{
    private RunModel(MultiExitNetwork network, Sgd optimiser, LearnedWeighting? weighting, BilevelLoop loop)
    {
        Network = network;
        Optimiser = optimiser;
        Weighting = weighting;
        Loop = loop;
    }

    public MultiExitNetwork Network { get; }

    public Sgd Optimiser { get; }

    /// <summary>Null in plain training.</summary>
    public LearnedWeighting? Weighting { get; }

    public BilevelLoop Loop { get; }

    /// <exception cref="UsageException">The settings describe nothing that can be built.</exception>
    public static RunModel Build(Settings settings, int classes, Device device)
    {
        try
        {
            return Assemble(settings, classes, device);
        }
        catch (ArgumentException e)
        {
            throw new UsageException(e.Message.ReplaceLineEndings(" "), e);
        }
    }

    public void Dispose()
    {
        Network.Dispose();
        Optimiser.Dispose();
        Weighting?.Network.Dispose();
        Weighting?.Optimiser.Dispose();
    }

    private static RunModel Assemble(Settings settings, int classes, Device device)
    {
        MultiExitNetwork network = BuildNetwork(settings, classes, device);
        var optimiser = new Sgd(network.Parameters, settings.Train);
        var objective = new MetaObjective(settings.Meta, network.Exits);
        IMetaGradient method = settings.Meta.Gradient switch
        {
            MetaGradientMethod.Unrolled => new UnrolledMetaGradient(network, optimiser, objective),
            _ => throw new ArgumentException($"meta.gradient {settings.Meta.Gradient} is not built yet", nameof(settings)),
        };
        if (!settings.Meta.Enabled)
        {
            return new RunModel(network, optimiser, null, new BilevelLoop(method, optimiser));
        }

        LearnedWeighting weighting = LearnedWeighting.Build(settings, network.Exits, device);
        var loop = new BilevelLoop(method, optimiser, new SampleWeighting(weighting.Network, settings.Meta), weighting.Optimiser);
        return new RunModel(network, optimiser, weighting, loop);
    }

    private static MultiExitNetwork BuildNetwork(Settings settings, int classes, Device device)
    {
        using Generator random = SeedSequence.Generator(settings.Seed, SeedSequence.Backbone);
        var factory = new LayerFactory(settings.Model.Initialisation, random, float32, device);
        return settings.Model.Backbone switch
        {
            BackboneKind.Msdnet => new MsdNet(settings.Model.Msdnet, classes, factory),
            _ => throw new ArgumentException($"model.backbone {settings.Model.Backbone} is not built yet", nameof(settings)),
        };
    }
}

/// <summary>The WPN with its optimiser.</summary>
/// <param name="Network">g.</param>
/// <param name="Optimiser">Of Θ.</param>
/// <param name="Names">The name of each parameter of Θ.</param>
internal sealed record LearnedWeighting(WeightPredictionNetwork Network, Adam Optimiser, IReadOnlyList<string> Names)
{
    public static LearnedWeighting Build(Settings settings, int exits, Device device)
    {
        using Generator random = SeedSequence.Generator(settings.Seed, SeedSequence.WeightNetwork);
        int features = SampleWeighting.FeatureCount(settings.Meta.Features, exits);
        var network = new WeightPredictionNetwork(settings.Meta.Wpn, features, exits, random, float32, device);
        return new LearnedWeighting(network, new Adam(network.Parameters, settings.Meta.Optimiser.WeightDecay), [.. network.named_parameters().Select(entry => entry.name)]);
    }
}
