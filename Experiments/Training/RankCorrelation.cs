using System.Globalization;
using Imta.MetaWeight.Experiments.Runs;
using MathNet.Numerics.Distributions;
using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>How an exit's sample weights correlate with the images' known difficulty.</summary>
/// <param name="Value">Spearman's rank correlation; NaN if all weights or all difficulties are equal.</param>
/// <param name="Low">The lower end of its 95 % confidence interval.</param>
/// <param name="High">Its upper end.</param>
internal sealed record RankCorrelation(double Value, double Low, double High)
{
    private static readonly double Quantile = Normal.InvCDF(0, 1, 0.975);

    /// <summary>What may be concluded: something only if the interval excludes 0.</summary>
    public string Interpretation => this switch
    {
        { Value: double.NaN } => "all weights, or all difficulties, are equal",
        { Low: > 0 } => "hard images get larger weights",
        { High: < 0 } => "easy images get larger weights",
        _ => "no clear relation",
    };

    /// <summary>The correlation at each exit, in order.</summary>
    /// <param name="rows">A row per image and exit, all of known difficulty.</param>
    public static RankCorrelation[] WithDifficulty(IEnumerable<WeightRow> rows) => [.. rows
        .GroupBy(row => row.Exit)
        .OrderBy(ofExit => ofExit.Key)
        .Select(ofExit => FromValue(Correlation.Spearman(
            ofExit.Select(row => (double)row.Weight), ofExit.Select(row => (double)row.Difficulty!.Value)), ofExit.Count()))];

    /// <summary>Its interval by Fisher's z, whose variance for ranks is (1 + r²/2)/(n − 3) (Bonett and Wright 2000).</summary>
    /// <param name="value">r.</param>
    /// <param name="samples">n; with fewer than 4 the interval is [−1, 1].</param>
    public static RankCorrelation FromValue(double value, int samples)
    {
        value = Math.Clamp(value, -1, 1); // rounding may go beyond
        double z = Math.Atanh(value), half = Quantile * Math.Sqrt((1 + (value * value / 2)) / (samples - 3));
        return samples > 3 ? new(value, Math.Tanh(z - half), Math.Tanh(z + half)) : new(value, -1, 1);
    }

    public override string ToString() => double.IsNaN(Value) ? "undefined" : $"{Text(Value)} [{Text(Low)}, {Text(High)}]";

    private static string Text(double value) => value.ToString("+0.00;-0.00;0.00", CultureInfo.InvariantCulture);
}
