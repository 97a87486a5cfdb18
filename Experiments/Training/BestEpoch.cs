using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>Selects the best epoch of a phase on the validation images, which must exist.</summary>
internal static class BestEpoch
{
    /// <summary>Whether the last epoch is better than all of its phase before it.</summary>
    /// <param name="rows">Those of <c>epochs.csv</c>.</param>
    /// <param name="by">The selection criterion.</param>
    public static bool IsLast(IReadOnlyList<SavedEpoch> rows, BestBy by)
    {
        double[] merits = [.. rows
            .Where(row => row.Phase == rows[^1].Phase)
            .GroupBy(row => row.Epoch)
            .Select(epoch => Score([.. epoch], by))];
        return merits[..^1].All(merit => merit < merits[^1]);
    }

    /// <summary>More is better; NaN is the least.</summary>
    private static double Score(SavedEpoch[] rows, BestBy by)
        => Value(rows, by) is var merit && double.IsNaN(merit) ? double.NegativeInfinity : merit;

    private static double Value(SavedEpoch[] rows, BestBy by) => by switch
    {
        BestBy.LastAccuracy => rows[^1].ValidationAccuracy!.Value,
        BestBy.MeanAccuracy => rows.Average(row => row.ValidationAccuracy!.Value),
        BestBy.LastLoss => -rows[^1].ValidationLoss!.Value,
        _ => -rows.Average(row => row.ValidationLoss!.Value),
    };
}
