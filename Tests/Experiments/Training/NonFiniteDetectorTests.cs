using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Tests.Experiments.Training;

public sealed class NonFiniteDetectorTests : IDisposable
{
    private const int Exits = 3;

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly NonFiniteDetector _watch = new(Exits);

    public void Dispose()
    {
        _watch.Dispose();
        _scope.Dispose();
    }

    [Fact]
    public void Finite_batches_are_no_problem_and_neither_are_none()
    {
        _watch.FirstNonFinite().Should().BeNull();
        _watch.Record(1, [Part(), Part()]);
        _watch.Record(2, [Part(hasObjective: false)]);
        _watch.FirstNonFinite().Should().BeNull();
    }

    [Theory]
    [InlineData("losses", 1, "batch 2, exit 2: training loss")]
    [InlineData("weights", 0, "batch 2, exit 1: meta gradient")]
    [InlineData("objective", 0, "batch 2, meta objective")]
    public void The_first_of_several_batches_is_named_whenever_somebody_looks(string what, int exit, string expected)
    {
        foreach (double value in (double[])[double.NaN, double.PositiveInfinity, double.NegativeInfinity])
        {
            _watch.Record(1, [Part(), Part(hasObjective: false)]);
            _watch.Record(2, [Part(), Broken(what, exit, value)]);
            _watch.Record(3, [Broken("losses", 0, value), Part()]);
            _watch.FirstNonFinite().Should().Be(expected);
            _watch.FirstNonFinite().Should().BeNull("what was told is forgotten");
        }
    }

    private static HalfBatchReport Part(bool hasObjective = true)
    {
        Tensor ones = torch.ones([4, Exits]);
        return new HalfBatchReport(
            ones, ones.clone(), ones.clone(), torch.ones([4, Exits, 2]), ones.gt(Held(0)), hasObjective ? tensor(1.0f) : null);
    }

    private static HalfBatchReport Broken(string what, int exit, double value)
    {
        HalfBatchReport part = Part();
        Tensor broken = what switch
        {
            "losses" => part.Losses.select(1, exit).select(0, 2),
            "weights" => part.Weights.select(1, exit).select(0, 2),
            _ => part.Objective!,
        };
        broken.fill_(Held(value));
        return part;
    }
}
