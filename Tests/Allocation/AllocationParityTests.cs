using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Tests.Allocation;

/// <summary>Against shares and selections that the published code computed.</summary>
public sealed class AllocationParityTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly GoldenFile _golden = GoldenFile.Open("allocation.pt");

    [SkippableTheory]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(7)]
    public void Shares_are_the_published_float32_table(int exits)
    {
        float[] published = [.. _golden[$"probs/K{exits}"].data<double>().ToArray().Select(share => (float)share)];

        published.Should().HaveCount(39 * exits);
        Enumerable.Range(1, 39).SelectMany(p => ExitShares.Of(p / 20.0, exits)).Should().Equal(published);
    }

    [SkippableTheory]
    [InlineData("n50")]
    [InlineData("n257")]
    [InlineData("k3")]
    [InlineData("tied16")]
    public void Quotas_selections_and_meta_losses_are_the_published_ones(string name)
    {
        Tensor[] logits = [.. Enumerable.Range(0, (int)_golden[$"{name}/logits"].shape[0]).Select(k => _golden[$"{name}/logits"].select(0, k))]; // K x [N, C]
        Tensor confidence = _golden[$"{name}/confidence"].t(); // [N, K]
        long samples = confidence.shape[0];
        _golden.Compare($"{name}/confidence", Confidence.PerSample(logits).t());

        foreach (long p in _golden[$"{name}/p_index"].data<long>().ToArray())
        {
            string at = $"{name}/p{p}";
            int[] quotas = ExitShares.Quotas(ExitShares.Of(p / 20.0, logits.Length), samples);
            quotas.Should().Equal(_golden[$"{at}/count"].data<long>().ToArray().Select(count => (int)count), at);

            Tensor exits = MetaAllocation.Exits(confidence, quotas);
            Selections.InOrder(exits, confidence).Should().Equal(_golden[$"{at}/selected"].data<long>().ToArray(), at);

            Tensor objective = new MetaObjective(new MetaOptions { Q = p / 20.0 }, logits.Length).At(logits, _golden[$"{name}/targets"]);
            _golden.Compare($"{at}/meta_loss", objective);
        }
    }

    [Fact]
    public void Quotas_are_floors_of_float32_products()
    {
        // In float64 the fifth quota is 64: the one of 45 published settings where the two differ.
        ExitShares.Quotas(ExitShares.Of(4 / 20.0, 10), 50000).Should().Equal(40000, 8000, 1600, 320, 63, 12, 2, 0, 0, 3);
    }

    public void Dispose()
    {
        _golden.Dispose();
        _scope.Dispose();
    }
}
