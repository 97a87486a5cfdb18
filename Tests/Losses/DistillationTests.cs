using Imta.MetaWeight.Losses;

namespace Imta.MetaWeight.Tests.Losses;

/// <summary>One-for-all distillation (IMTA, section 3.3).</summary>
public sealed class DistillationTests : IDisposable
{
    private const int Samples = 6;
    private const int Classes = 5;

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Generator _random = new(5);

    [Theory]
    [InlineData(0.9, 1, DistillationReduction.BatchMean)]
    [InlineData(0.3, 4, DistillationReduction.BatchMean)]
    [InlineData(0, 2.5, DistillationReduction.ElementMean)]
    public void It_mixes_cross_entropy_and_a_softened_divergence_from_the_last_exit_sample_by_sample(
        double alpha, double temperature, DistillationReduction reduction)
    {
        Tensor[] logits = Logits(3);
        Tensor labels = Labels();
        double share = reduction == DistillationReduction.ElementMean ? Classes : 1;

        (Tensor crossEntropies, Tensor losses) = Loss(alpha, temperature, reduction).PerSample(logits, labels);

        Values(crossEntropies).Should()
            .Equal(Values(CrossEntropy.PerSample(logits, labels)), "the weight-prediction network reads plain ones");
        for (int i = 0; i < Samples; i++)
        {
            double[] teacher = Softmax(logits[2], i, temperature);
            for (int k = 0; k < 2; k++)
            {
                double[] student = Softmax(logits[k], i, temperature);
                double divergence = teacher.Zip(student, (p, q) => p * Math.Log(p / q)).Sum();
                double expected = (alpha * At(crossEntropies, i, k)) + ((1 - alpha) * temperature * temperature * divergence / share);
                At(losses, i, k).Should().BeApproximately(expected, 1e-12);
            }

            At(losses, i, 2).Should().Be(At(crossEntropies, i, 2), "the last exit learns from the labels alone");
        }
    }

    [Fact]
    public void Alpha_of_1_is_cross_entropy()
    {
        Tensor[] logits = Logits(3);

        (Tensor crossEntropies, Tensor losses) = Loss(alpha: 1, temperature: 3).PerSample(logits, Labels());

        Values(losses).Should().Equal(Values(crossEntropies));
    }

    [Fact]
    public void A_student_that_is_its_teacher_has_no_gradient_from_it()
    {
        Tensor z = randn([Samples, Classes], float64, generator: _random);
        Tensor[] logits = [z.clone().requires_grad_(), z.clone().requires_grad_()];

        Tensor losses = Loss(alpha: 0, temperature: 2).PerSample(logits, Labels()).Losses;

        Values(losses.select(1, 0)).Should().OnlyContain(loss => Math.Abs(loss) < 1e-14);
        Values(autograd.grad([losses.select(1, 0).sum()], [logits[0]])[0]).Should().OnlyContain(slope => Math.Abs(slope) < 1e-14);
    }

    [Fact]
    public void No_gradient_reaches_the_teacher()
    {
        Tensor[] logits = Logits(3);
        Tensor teacher = randn([Samples, Classes], float64, generator: _random).requires_grad_();
        Tensor labels = Labels();
        TrainingLoss loss = Loss(alpha: 0.2, temperature: 2);

        Tensor own = loss.PerSample(logits, labels).Losses.narrow(1, 0, 2).sum();
        Tensor other = loss.PerSample(logits, labels, teacher).Losses.sum();

        own.item<double>().Should().NotBe(other.item<double>());
        Reaches(own, logits[2]).Should().BeFalse();
        Reaches(other, teacher).Should().BeFalse();
        Reaches(own, logits[0]).Should().BeTrue();

        static bool Reaches(Tensor of, Tensor by)
            => autograd.grad([of], [by], retain_graph: true, allow_unused: true)[0] is { IsInvalid: false } gradient
                && Values(gradient).Any(slope => slope != 0);
    }

    /// <summary>
    /// Hinton et al., 2015: for a high temperature the gradient of T²·KL is that of half the squared distance of centred logits, over C.
    /// </summary>
    [Fact]
    public void For_a_high_temperature_its_gradient_is_the_distance_of_the_centred_logits_over_the_classes()
    {
        Tensor[] logits = Logits(2);
        Tensor losses = Loss(alpha: 0, temperature: 1e5).PerSample(logits, Labels()).Losses;
        Tensor centred(Tensor z) => z - z.mean([1], keepdim: true);

        double[] slope = Values(autograd.grad([losses.select(1, 0).sum()], [logits[0]])[0]);
        double[] expected = Values((centred(logits[0]) - centred(logits[1])).div(Held(Classes)));

        slope.Zip(expected, (a, b) => Math.Abs(a - b)).Max().Should().BeLessThan(1e-4);
        expected.Max(Math.Abs).Should().BeGreaterThan(0.1);
    }

    [Fact]
    public void One_exit_has_nothing_to_imitate()
    {
        Tensor[] logits = Logits(1);

        (Tensor crossEntropies, Tensor losses) = Loss(alpha: 0.5, temperature: 1).PerSample(logits, Labels());

        Values(losses).Should().Equal(Values(crossEntropies));
    }

    [Fact]
    public void Smoothing_is_in_the_labels_part_and_class_weights_weigh_the_whole()
    {
        Tensor[] logits = Logits(2);
        Tensor labels = Labels();
        var ofa = new DistillationOptions { Enabled = true, Alpha = 0.4 };
        long[] counts = [10, 20, 30, 40, 50];
        var weights = new ClassWeightOptions { Type = ClassWeighting.InverseFrequency };
        using var smoothed = new TrainingLoss(new LossOptions { LabelSmoothing = 0.1 }, counts, float64, CPU);
        using var all = new TrainingLoss(new LossOptions { LabelSmoothing = 0.1, Ofa = ofa, ClassWeights = weights }, counts, float64, CPU);

        Tensor divergence = Loss(alpha: 0, temperature: 1).PerSample(logits, labels).Losses;
        double[] ofClass = ClassWeights.Compute(weights, counts);
        double[] expected = [.. Enumerable.Range(0, Samples).Select(i => ofClass[labels.select(0, i).item<long>()]
            * ((0.4 * At(smoothed.PerSample(logits, labels).Losses, i, 0)) + (0.6 * At(divergence, i, 0))))];

        Values(all.PerSample(logits, labels).Losses.select(1, 0)).Zip(expected, (a, b) => Math.Abs(a - b)).Max().Should().BeLessThan(1e-13);
    }

    public void Dispose()
    {
        _random.Dispose();
        _scope.Dispose();
    }

    private static TrainingLoss Loss(double alpha, double temperature, DistillationReduction reduction = DistillationReduction.BatchMean)
    {
        var ofa = new DistillationOptions { Enabled = true, Alpha = alpha, Temperature = temperature, Reduction = reduction };
        return new(new LossOptions { Ofa = ofa }, [], float64, CPU);
    }

    private Tensor[] Logits(int exits)
        => [.. Enumerable.Range(0, exits).Select(_ => randn([Samples, Classes], float64, generator: _random).requires_grad_())];

    private Tensor Labels() => randint(Classes, [Samples], int64, generator: _random);

    private static double At(Tensor tensor, int sample, int exit) => tensor.select(0, sample).select(0, exit).item<double>();

    private static double[] Softmax(Tensor logits, int sample, double temperature)
    {
        double[] powers = [.. Values(logits.select(0, sample)).Select(z => Math.Exp(z / temperature))];
        return [.. powers.Select(power => power / powers.Sum())];
    }

    private static double[] Values(Tensor tensor) => tensor.detach().contiguous().data<double>().ToArray();
}
