using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Tests.Losses;

public sealed class TrainingLossTests : IDisposable
{
    private const int Classes = 4;

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Tensor[] _logits;
    private readonly Tensor _labels;

    public TrainingLossTests()
    {
        using var random = new Generator(3);
        _logits = [.. Enumerable.Range(0, 3).Select(_ => randn([6, Classes], float64, generator: random))];
        _labels = randint(Classes, [6], int64, generator: random);
    }

    [Fact]
    public void Without_options_it_is_plain_cross_entropy()
    {
        using var loss = Loss(new LossOptions());

        foreach (TrainingLoss plain in new[] { loss, TrainingLoss.Plain })
        {
            (Tensor crossEntropies, Tensor losses) = plain.PerSample(_logits, _labels);
            Values(losses).Should().Equal(Values(CrossEntropy.PerSample(_logits, _labels)));
            Values(crossEntropies).Should().Equal(Values(losses));
        }
    }

    [Theory]
    [InlineData(0.1)]
    [InlineData(0.9)]
    public void Label_smoothing_is_libtorchs_and_leaves_the_cross_entropies_plain(double smoothing)
    {
        using var loss = Loss(new LossOptions { LabelSmoothing = smoothing });

        (Tensor crossEntropies, Tensor losses) = loss.PerSample(_logits, _labels);

        Values(crossEntropies).Should().Equal(Values(CrossEntropy.PerSample(_logits, _labels)));
        for (int k = 0; k < _logits.Length; k++)
        {
            Tensor expected = nn.functional.cross_entropy(_logits[k], _labels, reduction: nn.Reduction.None, label_smoothing: smoothing);
            GoldenFile.RelativeError(Values(losses.select(1, k)), Values(expected)).Should().BeLessThan(1e-14);
        }
    }

    /// <summary>Deferred re-weighting, as published with the last fifth of the epochs.</summary>
    [Theory]
    [InlineData(0.8, 200, 160)]
    [InlineData(0.29, 100, 29)]
    [InlineData(0.5, 3, 2)]
    [InlineData(0.8, 4, 3)]
    [InlineData(0.8, 1, 0)]
    [InlineData(0, 5, 0)]
    public void Class_weights_hold_from_a_share_of_the_epochs_on(double after, int epochs, int first)
    {
        var options = new LossOptions { ClassWeights = new() { Type = ClassWeighting.InverseFrequency, After = after } };
        using var plain = Loss(new LossOptions());
        using var always = Loss(options with { ClassWeights = options.ClassWeights with { After = 0 } });
        using var loss = Loss(options);

        foreach (int epoch in Enumerable.Range(0, epochs))
        {
            loss.BeginEpoch(epoch, epochs);
            Values(loss.PerSample(_logits, _labels).Losses).Should()
                .Equal(Values((epoch < first ? plain : always).PerSample(_logits, _labels).Losses));
        }
    }

    [Fact]
    public void A_class_weight_multiplies_the_smoothed_loss_of_its_samples()
    {
        var options = new LossOptions { LabelSmoothing = 0.2, ClassWeights = new() { Type = ClassWeighting.InverseFrequency } };
        double[] weights = ClassWeights.Compute(options.ClassWeights, [10, 20, 30, 40]);
        using var smooth = Loss(options with { ClassWeights = new() });
        using var loss = Loss(options);

        double[] unweighted = Values(smooth.PerSample(_logits, _labels).Losses);
        long[] labels = _labels.data<long>().ToArray();
        double[] expected = [.. unweighted.Select((value, at) => value * weights[labels[at / _logits.Length]])];
        GoldenFile.RelativeError(Values(loss.PerSample(_logits, _labels).Losses), expected).Should().BeLessThan(1e-14);
    }

    [Fact]
    public void A_gradient_reaches_the_logits()
    {
        using var loss = Loss(new LossOptions { LabelSmoothing = 0.3 });
        Tensor logits = _logits[0].requires_grad_();

        loss.PerSample([logits], _labels).Losses.sum().backward();

        Tensor target = zeros([6, Classes], float64).scatter_(1, _labels.unsqueeze(1), full([6, 1], Held(0.7), float64))
            .add(Held(0.3 / Classes), One);
        GoldenFile.RelativeError(Values(logits.grad!), Values(logits.detach().softmax(1) - target)).Should().BeLessThan(1e-14);
    }

    public void Dispose() => _scope.Dispose();

    private static TrainingLoss Loss(LossOptions options) => new(options, [10, 20, 30, 40], float64, CPU);

    private static double[] Values(Tensor tensor) => GoldenFile.Values(tensor);
}
