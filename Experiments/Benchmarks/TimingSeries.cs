using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>One of the cases measured in an interleaved benchmark.</summary>
/// <param name="Name">The name of the case.</param>
/// <param name="Measure">Runs it once and returns the seconds.</param>
internal sealed record BenchmarkCase(string Name, Func<double> Measure);

/// <summary>The times of one case.</summary>
/// <param name="Name">The name of the case.</param>
/// <param name="Seconds">One time per round.</param>
internal sealed record TimingSeries(string Name, IReadOnlyList<double> Seconds)
{
    public double Median => Seconds.Median();

    public double Min => Seconds.Min();

    public double Max => Seconds.Max();

    /// <summary>
    /// The time relative to <paramref name="other"/>: the median of the per-round ratios, so that machine noise affects both alike.
    /// </summary>
    public double RatioTo(TimingSeries other) => Seconds.Zip(other.Seconds, (own, others) => own / others).Median();

    /// <summary>Interleaves all cases, so that machine noise affects them alike; a first warm-up round does not count.</summary>
    /// <param name="contenders">The cases to measure.</param>
    /// <param name="rounds">The number of rounds.</param>
    /// <param name="progress">Called after each round that counts.</param>
    public static TimingSeries[] MeasureInterleaved(IReadOnlyList<BenchmarkCase> contenders, int rounds, Action<int> progress)
    {
        var seconds = contenders.Select(_ => new List<double>()).ToArray();
        for (int round = 0; round <= rounds; round++)
        {
            for (int c = 0; c < contenders.Count; c++)
            {
                double time = contenders[c].Measure();
                if (round > 0)
                {
                    seconds[c].Add(time);
                }
            }

            progress(round);
        }

        return [.. contenders.Zip(seconds, (contender, times) => new TimingSeries(contender.Name, times))];
    }
}
