using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Tests.Experiments.Training;

/// <summary>What a run says about its weights and the images' difficulty.</summary>
public sealed class RankCorrelationTests
{
    private const string Easy = "easy images get larger weights", Hard = "hard images get larger weights", None = "no clear relation";

    /// <summary>Intervals from Python: tanh(atanh r ± 1.96 sqrt((1 + r²/2)/(n − 3))).</summary>
    [Theory]
    [InlineData(0.5, 30, "+0.50 [+0.15, +0.74]", Hard)]
    [InlineData(-0.2, 103, "-0.20 [-0.38, 0.00]", Easy)]
    [InlineData(-0.2, 60, "-0.20 [-0.43, +0.06]", None)]
    [InlineData(-0.001, 1000, "0.00 [-0.06, +0.06]", None)]
    [InlineData(0.001, 1000, "0.00 [-0.06, +0.06]", None)]
    [InlineData(1, 3, "+1.00 [-1.00, +1.00]", None)]
    [InlineData(double.NaN, 1000, "undefined", "all weights, or all difficulties, are equal")]
    public void A_correlation_has_its_interval_and_a_conclusion_only_if_that_excludes_0(
        double value, int samples, string text, string conclusion)
    {
        var correlation = RankCorrelation.FromValue(value, samples);

        correlation.ToString().Should().Be(text);
        correlation.Interpretation.Should().Be(conclusion);
    }

    [Fact]
    public void Each_exit_has_its_own_by_rank()
    {
        IEnumerable<WeightRow> rows = from sample in Enumerable.Range(0, 50)
                                      from exit in new[] { 2, 1 }
                                      select new WeightRow
                                      {
                                          Sample = sample,
                                          Label = 0,
                                          Difficulty = sample / 50f,
                                          Exit = exit,
                                          Loss = 0,
                                          Confidence = 0,
                                          Weight = exit == 1 ? MathF.Exp(sample) : -sample * sample,
                                      };

        RankCorrelation[] exits = RankCorrelation.WithDifficulty(rows);

        exits.Select(exit => exit.Value).Should().Equal([1, -1], (one, other) => Math.Abs(one - other) < 1e-12);
        exits.Select(exit => exit.Interpretation).Should().Equal(Hard, Easy);
    }
}
