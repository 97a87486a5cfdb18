using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>
/// A convolution with a square kernel: <c>[N, input, H, W]</c> → <c>[N, output, H′, W′]</c>. It computes in the element type of its input,
/// whatever that of its parameters, and is used within <see cref="ConvolutionUnits"/>, which define its linear map.
/// </summary>
public sealed class Convolution : NamedModule
{
    private readonly Parameter _weight;
    private readonly Parameter? _bias;
    private readonly long[] _stride;
    private readonly long[] _padding;

    /// <param name="factory">Initialises the parameters.</param>
    /// <param name="input">Channels of the input.</param>
    /// <param name="output">Channels of the output.</param>
    /// <param name="kernel">Height and width of the kernel.</param>
    /// <param name="stride">Pixels from one window to the next.</param>
    /// <param name="padding">Pixels of zeros around the input.</param>
    /// <param name="bias">Whether it has a bias.</param>
    public Convolution(LayerFactory factory, long input, long output, long kernel, long stride, long padding, bool bias = false)
        : base(nameof(Convolution))
    {
        _weight = factory.ConvolutionWeight(output, input, kernel);
        _stride = [stride, stride];
        _padding = [padding, padding];
        register_parameter("weight", _weight);
        if (bias)
        {
            _bias = factory.Bias(output, fanIn: input * kernel * kernel);
            register_parameter("bias", _bias);
        }
    }

    /// <summary><c>[output, input, kernel, kernel]</c>.</summary>
    internal Parameter Weight => _weight;

    internal Tensor Forward(Tensor x, Pass pass)
    {
        Tensor y = Convolve(x, As(x, pass[_weight]), _bias is null ? null : As(x, pass[_bias]), rectifies: false);
        pass.Cost?.Convolution(_weight, _bias, y);
        return y;
    }

    /// <summary>
    /// Weight and bias with which this layer computes the output of the norm after it, using the running statistics.
    /// </summary>
    internal (Tensor Weight, Tensor Bias) FoldedBy(BatchNorm norm) => norm.FoldedInto(_weight, _bias);

    /// <summary>ReLU of the output of the norm after this layer, using the running statistics, in one convolution.</summary>
    internal Tensor ForwardFolded(Tensor x, BatchNorm norm, BatchNormFolding folding, Tensor? destination)
    {
        (Tensor weight, Tensor bias) = folding.For(this, () => FoldedBy(norm));
        return Convolve(x, weight, bias, rectifies: true, destination, folding.Packed(this));
    }

    /// <summary>The tangent ẋ ∗ W + x ∗ Ẇ + ḃ as the sum of up to two parts; null: none.</summary>
    /// <param name="change">ẋ, or null.</param>
    /// <param name="x">The input.</param>
    /// <param name="pass">The pass, with its parameters.</param>
    /// <param name="direction">The direction, with Ẇ and ḃ.</param>
    internal (Tensor? OfInput, Tensor? OfWeight) Tangent(Tensor? change, Tensor x, Pass pass, ParameterTangents direction)
    {
        Tensor? biasChange = _bias is null || direction[_bias] is not { } ofBias ? null : As(x, ofBias);
        Tensor? ofInput = change is null ? null : Convolve(change, As(x, pass[_weight]), null, rectifies: false);
        Tensor? ofWeight = direction[_weight] is { } weightChange ? Convolve(x, As(x, weightChange), biasChange, rectifies: false) : null;
        if (ofWeight is null && biasChange is not null)
        {
            ofWeight = biasChange.view(1, -1, 1, 1).expand((ofInput ?? Convolve(x, As(x, pass[_weight]), null, rectifies: false)).Sizes());
        }

        return (ofInput, ofWeight);
    }

    /// <summary>∂/∂x if requested; ∂/∂W and ∂/∂b are accumulated in the gradient.</summary>
    /// <param name="gradOutput">∂/∂output.</param>
    /// <param name="x">The input.</param>
    /// <param name="pass">The pass, with its parameters.</param>
    /// <param name="needsInputGrad">Whether to compute ∂/∂x.</param>
    /// <param name="sum">A tensor to which ∂/∂x may be added, and which is then returned; or null.</param>
    /// <param name="gradient">Receives the other gradients.</param>
    internal Tensor? Cotangent(Tensor gradOutput, Tensor x, Pass pass, bool needsInputGrad, Tensor? sum, ParameterCotangents gradient)
    {
        Tensor weight = As(x, pass[_weight]);
        if (ConvolutionKernels.Supports(x, weight) && NormReluKernels.Supports(gradOutput))
        {
            Tensor ofWeight = empty_like(weight);
            ConvolutionKernels.BackwardWeight([gradOutput], x, _stride[0], _padding[0], ofWeight);
            gradient.Add(_weight, ofWeight);
            if (_bias is not null)
            {
                gradient.Add(_bias, gradOutput.sum([0, 2, 3]));
            }

            if (!needsInputGrad)
            {
                return null;
            }

            bool adds = sum is not null && ConvolutionKernels.Supports(sum, weight);
            Tensor ofInput = adds ? sum! : TensorLayout.Empty(x.Sizes(), x);
            ConvolutionKernels.BackwardInput([gradOutput], weight, _stride[0], _padding[0], adds, ofInput);
            return ofInput;
        }

        (Tensor? input, Tensor byWeight, Tensor? byBias) = MissingOperators.ConvolutionBackward(
            gradOutput, x, weight, _stride, _padding, needsInputGrad, byBias: _bias is not null);
        gradient.Add(_weight, byWeight);
        if (_bias is not null)
        {
            gradient.Add(_bias, byBias!);
        }

        return input;
    }

    private static Tensor As(Tensor x, Tensor parameter) => parameter.dtype == x.dtype ? parameter : parameter.to_type(x.dtype);

    private Tensor Convolve(Tensor x, Tensor weight, Tensor? bias, bool rectifies, Tensor? destination = null, PackedWeights? kept = null)
    {
        if (is_grad_enabled() || !ConvolutionKernels.Supports(x, weight)
            || (destination is not null && !NormReluKernels.Supports(destination)))
        {
            Tensor z = nn.functional.conv2d(x, weight, bias, strides: _stride, padding: _padding);
            z = rectifies ? z.relu_() : z;
            return destination is null ? z : destination.copy_(z);
        }

        Tensor y = destination ?? TensorLayout.Empty([x.size(0), weight.size(0), Windows(x.size(2)), Windows(x.size(3))], x);
        ConvolutionKernels.Forward(x, weight, bias?.contiguous(), _stride[0], _padding[0], rectifies, adds: false, kept, [y]);
        return y;

        long Windows(long size) => Kernels.ConvolutionWindows.Count(size, weight.size(2), _stride[0], _padding[0]);
    }
}
