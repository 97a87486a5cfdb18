using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>
/// A convolution with a square kernel: <c>[N, input, H, W]</c> → <c>[N, output, H′, W′]</c>. It computes in its input's element type, whatever that of
/// its parameters is.
/// </summary>
internal sealed class Convolution : NamedModule
{
    private readonly Parameter _weight;
    private readonly Parameter? _bias;
    private readonly long[] _stride;
    private readonly long[] _padding;

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

    public Tensor Forward(Tensor x, Pass pass)
    {
        Tensor y = Convolve(x, As(x, pass[_weight]), _bias is null ? null : As(x, pass[_bias]), rectifies: false);
        pass.Cost?.Convolution(_weight, _bias, y);
        return y;
    }

    /// <summary>On a tape: the outputs of convolutions of one shape, but for their channels, that read one input; they lie side by side.</summary>
    public static Tensor ForwardTogether(IReadOnlyList<Convolution> siblings, Tensor x, Pass pass)
        => siblings[0].Convolve(x, Weight(siblings, x, pass), siblings[0]._bias is { } bias ? As(x, pass[bias]) : null, rectifies: false);

    /// <summary>What the norms behind such convolutions make of their outputs, by the running statistics, and ReLU of that: one convolution.</summary>
    public static Tensor ForwardFolded(IReadOnlyList<Convolution> siblings, IReadOnlyList<BatchNorm> norms, Tensor x, Folding folding)
    {
        (Tensor weight, Tensor bias) = folding.Of(siblings[0], () =>
        {
            (Tensor Weight, Tensor Bias)[] all = [.. siblings.Select((convolution, i) => norms[i].FoldedInto(convolution._weight, convolution._bias))];
            return (cat([.. all.Select(one => one.Weight)], 0), cat([.. all.Select(one => one.Bias)], 0));
        });
        return siblings[0].Convolve(x, weight, bias, rectifies: true);
    }

    /// <summary>The tangent ẋ ∗ W + x ∗ Ẇ + ḃ in up to two parts, whose sum it is; null: none.</summary>
    /// <param name="siblings">One convolution, or some that read one input.</param>
    /// <param name="change">ẋ, or null.</param>
    /// <param name="x">The input.</param>
    /// <param name="pass">Has the parameters of the pass.</param>
    /// <param name="direction">Has Ẇ and ḃ.</param>
    public static (Tensor? OfInput, Tensor? OfWeight) Tangent(
        IReadOnlyList<Convolution> siblings, Tensor? change, Tensor x, Pass pass, ParameterTangents direction)
    {
        Convolution first = siblings[0];
        Tensor? biasChange = first._bias is null || direction[first._bias] is not { } ofBias ? null : As(x, ofBias);
        Tensor? ofInput = change is null ? null : first.Convolve(change, Weight(siblings, x, pass), null, rectifies: false);
        Tensor?[] weightChanges = [.. siblings.Select(one => direction[one._weight])];
        Tensor? ofWeight = weightChanges.All(one => one is null)
            ? null
            : first.Convolve(x, Joined(x, [.. weightChanges.Select((one, i) => one ?? zeros_like(siblings[i]._weight))]), biasChange, rectifies: false);
        if (ofWeight is null && biasChange is not null)
        {
            long[] shape = (ofInput ?? first.Convolve(x, Weight(siblings, x, pass), null, rectifies: false)).shape;
            ofWeight = biasChange.view(1, -1, 1, 1).expand(shape);
        }

        return (ofInput, ofWeight);
    }

    /// <summary>∂/∂x where it is wanted; ∂/∂W and ∂/∂b are added to the gradient for the convolutions whose outputs are read.</summary>
    /// <param name="siblings">One convolution, or some that read one input.</param>
    /// <param name="byOutput">∂/∂output.</param>
    /// <param name="x">The input.</param>
    /// <param name="pass">Has the parameters of the pass.</param>
    /// <param name="byInput">Whether ∂/∂x is wanted.</param>
    /// <param name="sum">What ∂/∂x may be added to, and is then; or null.</param>
    /// <param name="isRead">Whether anybody reads the outputs from a first channel on.</param>
    /// <param name="gradient">Takes the rest.</param>
    public static Tensor? Cotangent(
        IReadOnlyList<Convolution> siblings, Tensor byOutput, Tensor x, Pass pass, bool byInput, Tensor? sum, Func<long, bool> isRead, ParameterCotangents gradient)
    {
        (long stride, long padding, Parameter? bias) = (siblings[0]._stride[0], siblings[0]._padding[0], siblings[0]._bias);
        Tensor weight = Weight(siblings, x, pass);
        if (!ConvolutionKernels.Supports(x, weight) || !NormReluKernels.Supports(byOutput))
        {
            (Tensor? byX, Tensor byWeight, Tensor? byBias) = MissingOperators.ConvolutionBackward(
                byOutput, x, weight, [stride, stride], [padding, padding], byInput, byBias: bias is not null);
            AddParameters(byWeight, byBias);
            return byX;
        }

        Tensor ofWeight = empty_like(weight);
        ConvolutionKernels.BackwardWeight(byOutput, x, stride, padding, ofWeight);
        AddParameters(ofWeight, bias is null ? null : byOutput.sum([0, 2, 3]));
        if (!byInput)
        {
            return null;
        }

        bool adds = sum is not null && ConvolutionKernels.Supports(sum, weight);
        Tensor ofInput = adds ? sum! : Layout.Empty(x.shape, x);
        ConvolutionKernels.BackwardInput(byOutput, weight, stride, padding, adds, ofInput);
        return ofInput;

        void AddParameters(Tensor byWeight, Tensor? byBias)
        {
            long start = 0;
            foreach (Convolution one in siblings)
            {
                long outputs = one._weight.shape[0];
                if (isRead(start))
                {
                    gradient.Add(one._weight, byWeight.narrow(0, start, outputs));
                }

                start += outputs;
            }

            if (bias is not null)
            {
                gradient.Add(bias, byBias!);
            }
        }
    }

    private static Tensor Weight(IReadOnlyList<Convolution> siblings, Tensor x, Pass pass) => Joined(x, [.. siblings.Select(one => pass[one._weight])]);

    private static Tensor Joined(Tensor x, Tensor[] weights) => As(x, weights.Length == 1 ? weights[0] : cat(weights, 0));

    private static Tensor As(Tensor x, Tensor parameter) => parameter.dtype == x.dtype ? parameter : parameter.to_type(x.dtype);

    private Tensor Convolve(Tensor x, Tensor weight, Tensor? bias, bool rectifies)
    {
        if (is_grad_enabled() || !ConvolutionKernels.Supports(x, weight))
        {
            Tensor z = nn.functional.conv2d(x, weight, bias, strides: _stride, padding: _padding);
            return rectifies ? z.relu_() : z;
        }

        Tensor y = Layout.Empty([x.shape[0], weight.shape[0], Output(x.shape[2]), Output(x.shape[3])], x);
        ConvolutionKernels.Forward(x, weight, bias, _stride[0], _padding[0], rectifies, y);
        return y;

        long Output(long size) => ((size + (2 * _padding[0]) - weight.shape[2]) / _stride[0]) + 1;
    }
}
