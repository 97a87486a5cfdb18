using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Convolution → batch norm → ReLU: the layer that MSDNet and RANet are made of.</summary>
/// <remarks>Not a module: the published names know its parts only.</remarks>
internal sealed class ConvolutionUnit(Convolution convolution, BatchNorm norm)
{
    /// <param name="x"><c>[N, C, H, W]</c>.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="place">On a tape only: the slice of a wider tensor that the output is to be written to; it is the result then.</param>
    public Tensor Forward(Tensor x, Pass pass, Tensor? place = null)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor z = convolution.Forward(x, pass);
        if (pass.Tape is null)
        {
            return Operators.Relu(norm.Forward(z, pass), pass).MoveToOuterDisposeScope();
        }

        Tensor y = place ?? Layout.Empty(z.shape, z).MoveToOuterDisposeScope();
        pass.Tape.Add(new Map(convolution, norm, pass, x, z, norm.ForwardRelu(z, pass, y)), y, x);
        return y;
    }

    private sealed class Map : LinearMap
    {
        private readonly Convolution _convolution;
        private readonly BatchNorm _norm;
        private readonly Pass _pass;
        private readonly Tensor _x;
        private readonly Tensor _z;
        private readonly Tensor _saved;

        public Map(Convolution convolution, BatchNorm norm, Pass pass, Tensor x, Tensor z, Tensor saved)
            => (_convolution, _norm, _pass, _x, _z, _saved) = (convolution, norm, pass, Keep(x), Keep(z), Keep(saved));

        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place)
        {
            (Tensor? ofInput, Tensor? ofWeight) = _convolution.Tangent(inputs[0], _x, _pass, direction);
            Tensor tangent = place ?? Layout.Empty(_z.shape, _z);
            return _norm.TangentRelu(ofInput ?? ofWeight, ofInput is null ? null : ofWeight, _z, _saved, _pass, direction, tangent) ? tangent : null;
        }

        public override IReadOnlyList<Tensor?> Cotangent(Tensor output, IReadOnlyList<bool> wanted, ParameterCotangents gradient)
        {
            Tensor byConvolution = _norm.CotangentRelu(output, _z, _saved, _pass, gradient);
            return [_convolution.Cotangent(byConvolution, _x, _pass, wanted[0], gradient)];
        }
    }
}
