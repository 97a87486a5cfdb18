using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Experiments.Configuration;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>What a run writes beyond its tables.</summary>
internal sealed record ExportOptions
{
    [Description("Epochs between sample-weight files; the last epoch always gets one; 0: the last epoch only")]
    [Range(0, int.MaxValue)]
    public int WeightsEvery { get; init; }

    [Description("Whether predictions.csv is written: every exit's prediction for every validation and test image")]
    public bool Predictions { get; init; } = true;

    [Description("Whether logits.safetensors is written: every exit's logits for every validation and test image")]
    public bool Logits { get; init; }

    [Description("Whether tensorboard/ is written: event files of the columns of epochs.csv, epoch by epoch")]
    public bool Tensorboard { get; init; }
}
