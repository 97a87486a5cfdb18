using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>From the configuration to the backbone.</summary>
internal static class Networks
{
    /// <summary>The network of these settings with its first parameters.</summary>
    /// <exception cref="UsageException">The settings describe nothing that can be built.</exception>
    public static MultiExitNetwork Build(Settings settings, Device device)
    {
        DatasetShape shape = DatasetShape.Of(settings.Data.Dataset);
        using Generator random = SeedSequence.Generator(settings.Seed, SeedSequence.Backbone);
        var factory = new LayerFactory(settings.Model.Initialisation, random, float32, device);
        try
        {
            return new MsdNet(settings.Model.Msdnet, shape.Images, shape.Classes, factory);
        }
        catch (ArgumentException e)
        {
            throw UsageException.Of(e);
        }
    }
}
