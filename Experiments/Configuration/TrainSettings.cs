using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Experiments.Configuration;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>How a run's first phase trains, and what its network starts from.</summary>
internal sealed record TrainSettings : TrainOptions
{
    public TrainSettings()
    {
    }

    /// <summary>The same training, of a network that is already there.</summary>
    public TrainSettings(TrainOptions options)
        : base(options) => Epochs = options.Epochs; // Phase2Options overrides Epochs, with a field that the base does not copy

    [Description("Run folder, checkpoint, PyTorch or safetensors file to initialise the network from (tensors that match by name and "
        + "shape); null: fresh initialisation")]
    [RegularExpression(@"[^\p{Cc}]+", ErrorMessage = "the folder of a run, or a file")]
    public string? Initialise { get; init; }
}
