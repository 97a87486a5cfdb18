using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>By what the best epoch's checkpoint is chosen, on the validation images.</summary>
internal enum BestBy
{
    /// <summary>Accuracy of the last exit.</summary>
    LastAccuracy,

    /// <summary>Mean accuracy of all exits.</summary>
    MeanAccuracy,

    /// <summary>Cross-entropy of the last exit.</summary>
    LastLoss,

    /// <summary>Mean cross-entropy of all exits.</summary>
    MeanLoss,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>How a run is kept safe.</summary>
internal sealed record RunOptions
{
    [Description("Minutes from one checkpoint inside an epoch to the next; 0: at the ends of epochs only")]
    [Range(0.0, double.MaxValue)]
    public double CheckpointMinutes { get; init; } = 10;

    [Description("Epochs from one checkpoint that is kept, checkpoints/epoch-NNNN.pt, to the next; 0: none")]
    [Range(0, int.MaxValue)]
    public int CheckpointEvery { get; init; }

    [Description("What of the validation images chooses checkpoints/best.pt; of equal epochs the earlier one stays")]
    public BestBy BestBy { get; init; } = BestBy.LastAccuracy;

    [Description("Whether batches with a loss or gradient that is no finite number are skipped and counted; otherwise the run ends there")]
    public bool SkipNonFinite { get; init; }
}
