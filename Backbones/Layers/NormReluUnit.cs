using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Batch norm → ReLU behind a layer that states its own linear map.</summary>
internal sealed class NormReluUnit(BatchNorm norm)
{
    /// <summary>The output, of the input's shape.</summary>
    /// <param name="z"><c>[N, C]</c> or <c>[N, C, H, W]</c>.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="place">On a tape only: the slice of a wider tensor that the output is to be written to; it is the result then.</param>
    public Tensor Forward(Tensor z, Pass pass, Tensor? place = null)
    {
        if (pass.Tape is not { } tape)
        {
            return Operators.Relu(norm.Forward(z, pass), pass);
        }

        Tensor y = place ?? Layout.Empty(z.shape, z);
        Tensor saved = norm.ForwardRelu(z, pass, y);
        tape.Add(new Map(norm, pass, z, saved), y, z);
        return y;
    }

    private sealed class Map : LinearMap
    {
        private readonly BatchNorm _norm;
        private readonly Pass _pass;
        private readonly Tensor _z;
        private readonly Tensor _saved;

        public Map(BatchNorm norm, Pass pass, Tensor z, Tensor saved) => (_norm, _pass, _z, _saved) = (norm, pass, Keep(z), Keep(saved));

        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place)
        {
            Tensor tangent = place ?? Layout.Empty(_z.shape, _z);
            return _norm.TangentRelu(inputs[0], null, _z, _saved, _pass, direction, tangent) ? tangent : null;
        }

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> wanted, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
            => [_norm.CotangentRelu(output, _z, _saved, _pass, gradient)];
    }
}
