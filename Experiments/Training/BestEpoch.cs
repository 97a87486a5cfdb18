using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>Which epoch of a phase is the best on the validation images, which there are.</summary>
internal static class BestEpoch
{
    /// <summary>Whether an epoch is better than all before it.</summary>
    /// <param name="rows">The epoch's, one an exit.</param>
    /// <param name="table">The file with the rows of the epochs before.</param>
    /// <param name="by">What is compared.</param>
    public static bool IsBetter(EpochRow[] rows, string table, BestBy by)
    {
        IEnumerable<EpochRow> earlier = File.Exists(table) ? CsvTable.Read<EpochRow>(table) : [];
        double merit = Merit(rows, by);
        return earlier.Where(row => row.Phase == rows[0].Phase).GroupBy(row => row.Epoch).All(epoch => Merit([.. epoch], by) < merit);
    }

    /// <summary>More is better; what is no number is the least.</summary>
    private static double Merit(EpochRow[] rows, BestBy by) => Of(rows, by) is var merit && double.IsNaN(merit) ? double.NegativeInfinity : merit;

    private static double Of(EpochRow[] rows, BestBy by) => by switch
    {
        BestBy.LastAccuracy => rows[^1].ValidationAccuracy!.Value,
        BestBy.MeanAccuracy => rows.Average(row => row.ValidationAccuracy!.Value),
        BestBy.LastLoss => -rows[^1].ValidationLoss!.Value,
        _ => -rows.Average(row => row.ValidationLoss!.Value),
    };
}
