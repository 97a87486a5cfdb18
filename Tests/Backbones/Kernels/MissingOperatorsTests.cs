using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Layers;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>Each operator against autograd's gradient of the function that TorchSharp does have, in float64.</summary>
public sealed class MissingOperatorsTests
{
    [Theory]
    [InlineData(1, 1, 1, true)]
    [InlineData(3, 1, 2, true)]
    [InlineData(3, 1, 1, false)]
    [InlineData(2, 0, 2, false)]
    public void Convolution(int kernel, int padding, int stride, bool hasBias)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Draw(2, 3, 7, 6), weight = Draw(5, 3, kernel, kernel), bias = Draw(5);
        long[] strides = [stride, stride], paddings = [padding, padding];
        Tensor y = nn.functional.conv2d(x, weight, hasBias ? bias : null, strides: strides, padding: paddings), g = randn_like(y);
        IList<Tensor> expected = autograd.grad([y], hasBias ? [x, weight, bias] : [x, weight], [g]);

        foreach (bool byInput in new[] { true, false })
        {
            (Tensor? ofInput, Tensor ofWeight, Tensor? ofBias) = MissingOperators.ConvolutionBackward(
                g, x.detach(), weight.detach(), strides, paddings, byInput, hasBias);

            (ofInput is not null, ofBias is not null).Should().Be((byInput, hasBias));
            Same(ofWeight, expected[1]);
            if (byInput)
            {
                Same(ofInput!, expected[0]);
            }

            if (hasBias)
            {
                Same(ofBias!, expected[2]);
            }
        }
    }

    [Fact]
    public void Batch_norm()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Draw(4, 3, 5, 2), weight = Draw(3), bias = Draw(3);
        Tensor mean = zeros([3L], ScalarType.Float64), variance = ones([3L], ScalarType.Float64);
        Tensor ourMean = mean.clone(), ourVariance = variance.clone();
        Tensor y = nn.functional.batch_norm(x, mean, variance, weight, bias, training: true, 0.3, 1e-3), g = randn_like(y);
        IList<Tensor> expected = autograd.grad([y], [x, weight, bias], [g]);
        (x, weight, bias) = (x.detach(), weight.detach(), bias.detach());

        (Tensor output, Tensor batchMean, Tensor inverse)
            = MissingOperators.NativeBatchNorm(x, weight, bias, ourMean, ourVariance, 0.3, 1e-3);
        (Tensor byInput, Tensor? byWeight, Tensor? byBias)
            = MissingOperators.NativeBatchNormBackward(g, x, weight, batchMean, inverse, 1e-3, byParameters: true);
        (Tensor alone, Tensor? none, Tensor? neither)
            = MissingOperators.NativeBatchNormBackward(g, x, weight, batchMean, inverse, 1e-3, byParameters: false);

        Same(output, y);
        Same(batchMean, x.mean([0, 2, 3]));
        Same(ourMean, mean);
        Same(ourVariance, variance);
        Same(byInput, expected[0]);
        Same(byWeight!, expected[1]);
        Same(byBias!, expected[2]);
        Same(alone, expected[0]);
        (none, neither).Should().Be((null, null));
    }

    [Fact]
    public void Batch_norm_without_what_is_optional()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Draw(9, 3).detach();

        (Tensor output, _, Tensor inverse) = MissingOperators.NativeBatchNorm(x, null, null, null, null, 0.1, 1e-5);

        Same(output, (x - x.mean([0])) * inverse);
    }

    [Fact]
    public void Batch_norm_reads_no_vector_past_its_end()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Draw(9, 3), shorter = Draw(2), vector = Draw(3);

        Action forward = () => MissingOperators.NativeBatchNorm(x, shorter, null, null, null, 0.1, 1e-5);
        Action backward = () => MissingOperators.NativeBatchNormBackward(x, x, vector, vector, shorter, 1e-5, true);

        forward.Should().Throw<ArgumentException>().WithMessage("*3 channels*2 elements*");
        backward.Should().Throw<ArgumentException>().WithMessage("*3 channels*2 elements*");
    }

    [Fact]
    public void Mean_pooling()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Draw(2, 3, 8, 4), y = nn.functional.avg_pool2d(x, 4), g = randn_like(y);

        Same(MissingOperators.AvgPool2dBackward(g, x.detach(), 4), autograd.grad([y], [x], [g])[0]);
    }

    [Fact]
    public void Maximum_pooling()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Draw(2, 3, 9, 7);
        (Tensor y, Tensor indices) = nn.functional.max_pool2d_with_indices(x, [3, 3], [2, 2], [1, 1], [1, 1], false);
        Tensor g = randn_like(y);

        Tensor byInput = MissingOperators.MaxPool2dWithIndicesBackward(g, x.detach(), [3, 3], [2, 2], [1, 1], indices);

        Same(byInput, autograd.grad([y], [x], [g])[0]);
    }

    [Theory]
    [InlineData(8, 5)]
    [InlineData(2, 2)]
    public void Bilinear_interpolation(int height, int width)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Draw(2, 3, 4, 3), y = Interpolated(x, height, width), g = randn_like(y);

        Same(MissingOperators.UpsampleBilinear2dBackward(g, x.shape), autograd.grad([y], [x], [g])[0]);
    }

    /// <summary>They are operators to autograd, too: linear in the gradient, with the function itself as derivative.</summary>
    [Fact]
    public void A_gradient_flows_through_them_where_they_are_recorded()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = Draw(2, 3, 8, 8), g = Draw(2, 3, 4, 4), t = Draw(2, 3, 8, 8).detach();
        (_, Tensor indices) = nn.functional.max_pool2d_with_indices(x.detach(), [2, 2], [2, 2], [0, 0], [1, 1], false);
        Tensor maximum = MissingOperators.MaxPool2dWithIndicesBackward(g, x.detach(), [2, 2], [2, 2], [0, 0], indices);
        Tensor mean = MissingOperators.AvgPool2dBackward(g, x.detach(), 2), weight = Draw(3, 3, 1, 1);
        Tensor bilinear = MissingOperators.UpsampleBilinear2dBackward(g, x.shape);
        Tensor input = Draw(2, 3, 4, 4).detach();
        (Tensor? convolution, _, _) = MissingOperators.ConvolutionBackward(g, input, weight, [1, 1], [0, 0], byInput: true, byBias: false);

        Same(autograd.grad([maximum], [g], [t])[0], t.flatten(2).gather(2, indices.flatten(2)).reshape(indices.shape));
        Same(autograd.grad([mean], [g], [t])[0], nn.functional.avg_pool2d(t, 2));
        Same(autograd.grad([bilinear], [g], [t])[0], Interpolated(t, 4, 4));
        Same(autograd.grad([convolution!], [g], [g.detach()])[0], nn.functional.conv2d(g.detach(), weight.detach()));
    }

    [Fact]
    public void Nothing_is_recorded_without_grad_mode()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor g = Draw(1, 1, 1, 1), x = Draw(1, 1, 2, 2);
        MissingOperators.AvgPool2dBackward(g, x, 2).requires_grad.Should().BeTrue();
        using IDisposable mode = no_grad();

        MissingOperators.AvgPool2dBackward(g, x, 2).requires_grad.Should().BeFalse();
    }

    private static Tensor Draw(params long[] shape) => randn(shape, ScalarType.Float64).requires_grad_();

    private static Tensor Interpolated(Tensor x, long height, long width)
        => nn.functional.interpolate(x, [height, width], mode: InterpolationMode.Bilinear, align_corners: true);

    private static void Same(Tensor actual, Tensor expected)
    {
        actual.shape.Should().Equal(expected.shape);
        (actual.detach() - expected.detach()).abs().max().item<double>().Should().BeLessThan(1e-12);
    }
}
