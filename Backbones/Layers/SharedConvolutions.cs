using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>
/// The first units of one or two chains that read the same features, with 1×1 convolutions: fused into one convolution, which reads the
/// features once. On a tape it ends before the norms; with folding, after ReLU. Other passes compute each chain separately.
/// </summary>
internal sealed class SharedConvolutions(params IReadOnlyList<ConvolutionChain> chains)
{
    private readonly Convolution[] _convolutions = [.. chains.Select(chain => chain.First.Convolution)];

    /// <summary>Whether a pass uses the fused convolution.</summary>
    public static bool AppliesTo(Pass pass) => pass.Tape is not null || pass.Folding is not null;

    /// <summary>The input from which each chain continues (<see cref="ConvolutionChain.ForwardFrom"/>).</summary>
    public Tensor[] Forward(Tensor x, Pass pass)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor[] outputs = pass.Tape is null ? Folded(x, pass.Folding!) : Convolve(x, Weights(x, pass), null, rectifies: false, null);
        pass.Tape?.AddStep(new Map(this, pass, x), outputs, [x]);
        Array.ForEach(outputs, output => scope.MoveToOuter(output));
        return outputs;
    }

    private Tensor[] Folded(Tensor x, BatchNormFolding folding)
    {
        (Tensor weight, Tensor bias) = folding.For(_convolutions[0], () =>
        {
            (Tensor Weight, Tensor Bias)[] all = [.. chains.Select(chain => chain.First.Convolution.FoldedBy(chain.First.Norm))];
            return (cat([.. all.Select(one => one.Weight)], 0), cat([.. all.Select(one => one.Bias)], 0));
        });
        return Convolve(x, weight, bias, rectifies: true, null, folding.Packed(_convolutions[0]));
    }

    private Tensor Weights(Tensor x, Pass pass) => Joined(x, [.. _convolutions.Select(convolution => pass[convolution.Weight])]);

    private static Tensor Joined(Tensor x, Tensor[] weights)
    {
        Tensor joined = weights.Length == 1 ? weights[0] : cat(weights, 0);
        return joined.dtype == x.dtype ? joined : joined.to_type(x.dtype);
    }

    /// <summary>The outputs, added to existing sums, if any.</summary>
    private Tensor[] Convolve(Tensor x, Tensor weight, Tensor? bias, bool rectifies, Tensor[]? sums, PackedWeights? kept = null)
    {
        long[] channels = [.. _convolutions.Select(convolution => convolution.Weight.size(0))];
        if (!is_grad_enabled() && ConvolutionKernels.Supports(x, weight) && sums?.All(sum => NormReluKernels.Supports(sum)) != false)
        {
            Tensor[] outputs = sums ?? [.. channels.Select(count => TensorLayout.Empty([x.size(0), count, x.size(2), x.size(3)], x))];
            ConvolutionKernels.Forward(x, weight, bias, stride: 1, padding: 0, rectifies, adds: sums is not null, kept, outputs);
            return outputs;
        }

        return [.. channels.Select((count, i) =>
        {
            long start = channels[..i].Sum();
            Tensor y = nn.functional.conv2d(x, weight.narrow(0, start, count), bias?.narrow(0, start, count));
            y = rectifies ? y.relu_() : y;
            return sums is null ? y : sums[i].add_(y, One);
        })];
    }

    private sealed class Map : TapeOperation
    {
        private readonly SharedConvolutions _shared;
        private readonly Pass _pass;
        private readonly Tensor _x;

        public Map(SharedConvolutions shared, Pass pass, Tensor x) => (_shared, _pass, _x) = (shared, pass, Keep(x));

        internal override IReadOnlyList<Tensor?> Tangents(
            IReadOnlyList<Tensor?> inputs, ParameterTangents direction, IReadOnlyList<Tensor?> destinations)
        {
            Convolution[] convolutions = _shared._convolutions;
            Tensor[]? tangents = inputs[0] is { } change
                ? _shared.Convolve(change, _shared.Weights(_x, _pass), null, rectifies: false, null)
                : null;
            Tensor?[] weights = [.. convolutions.Select(convolution => direction[convolution.Weight])];
            if (weights.Any(weight => weight is not null))
            {
                Tensor joined = Joined(_x, [.. weights.Select((weight, i) => weight ?? zeros_like(convolutions[i].Weight))]);
                tangents = _shared.Convolve(_x, joined, null, rectifies: false, tangents);
            }

            return tangents ?? new Tensor?[convolutions.Length];
        }

        internal override IReadOnlyList<Tensor?> Cotangents(
            IReadOnlyList<Tensor?> outputs, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        {
            Tensor weight = _shared.Weights(_x, _pass);
            Tensor?[] all = [.. outputs];
            return all.All(output => output is not null && NormReluKernels.Supports(output)) && ConvolutionKernels.Supports(_x, weight)
                ? [Together(all!, weight, needed[0], sums[0], gradient)]
                : [OneByOne(all, needed[0], sums[0], gradient)];
        }

        private Tensor? Together(Tensor[] outputs, Tensor weight, bool byInput, Tensor? sum, ParameterCotangents gradient)
        {
            Tensor byWeight = empty_like(weight);
            ConvolutionKernels.BackwardWeight(outputs, _x, stride: 1, padding: 0, byWeight);
            long start = 0;
            foreach (Convolution convolution in _shared._convolutions)
            {
                long count = convolution.Weight.size(0);
                gradient.Add(convolution.Weight, byWeight.narrow(0, start, count));
                start += count;
            }

            if (!byInput)
            {
                return null;
            }

            bool adds = sum is not null && NormReluKernels.Supports(sum);
            Tensor ofInput = adds ? sum! : TensorLayout.Empty(_x.Sizes(), _x);
            ConvolutionKernels.BackwardInput(outputs, weight, stride: 1, padding: 0, adds, ofInput);
            return ofInput;
        }

        /// <summary>The weight of an unused output has no gradient, which is not the same as a zero gradient.</summary>
        private Tensor? OneByOne(Tensor?[] outputs, bool byInput, Tensor? sum, ParameterCotangents gradient)
        {
            Tensor? total = sum;
            for (int i = 0; i < outputs.Length; i++)
            {
                if (outputs[i] is { } output)
                {
                    Tensor? more = _shared._convolutions[i].Cotangent(output, _x, _pass, byInput, total, gradient);
                    if (more is not null && total is not null && !ReferenceEquals(more, total))
                    {
                        TensorLayout.AddTo(total, more);
                    }

                    total ??= more;
                }
            }

            return byInput ? total : null;
        }
    }
}
