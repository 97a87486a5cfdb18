using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>The validation metric that selects the best epoch's checkpoint.</summary>
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

/// <summary>Checkpoints and error handling of a run.</summary>
internal sealed record RunOptions
{
    [Description("Minutes between checkpoints within an epoch; 0: only at the end of each epoch")]
    [Range(0.0, double.MaxValue)]
    public double CheckpointMinutes { get; init; } = 10;

    [Description("Epochs between checkpoints that are kept as checkpoints/epoch-NNNN.pt; 0: none")]
    [Range(0, int.MaxValue)]
    public int CheckpointEvery { get; init; }

    [Description("Validation metric that selects checkpoints/best.pt; ties go to the earlier epoch")]
    public BestBy BestBy { get; init; } = BestBy.LastAccuracy;

    [Description("Whether batches with a NaN or infinite loss or gradient are skipped and counted; otherwise the run stops")]
    public bool SkipNonFinite { get; init; }
}
