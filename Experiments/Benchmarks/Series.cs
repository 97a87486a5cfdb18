using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>One of the things that are measured in turns.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Measure">Does it once and returns its seconds.</param>
internal sealed record Contender(string Name, Func<double> Measure);

/// <summary>The times of one contender.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Seconds">One time a round.</param>
internal sealed record Series(string Name, IReadOnlyList<double> Seconds)
{
    public double Median => Seconds.Median();

    public double Min => Seconds.Min();

    public double Max => Seconds.Max();

    /// <summary>How many times as long as <paramref name="other"/> it takes: the median over rounds, in each of which both met the same mood of the machine.</summary>
    public double Over(Series other) => Seconds.Zip(other.Seconds, (own, others) => own / others).Median();

    /// <summary>Runs all contenders in turns, so that the machine's moods reach all of them alike; a first round does not count.</summary>
    /// <param name="contenders">What to measure.</param>
    /// <param name="rounds">Times of each.</param>
    /// <param name="progress">Told after each round that counts.</param>
    public static Series[] Alternate(IReadOnlyList<Contender> contenders, int rounds, Action<int> progress)
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

        return [.. contenders.Zip(seconds, (contender, times) => new Series(contender.Name, times))];
    }
}
