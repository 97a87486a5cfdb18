using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Convolution → batch norm → ReLU, one or more times: the layer used in MSDNet and RANet.</summary>
/// <remarks>Not a module: the published names include only its parts.</remarks>
/// <param name="units">Each convolution with the batch norm after it; they are registered elsewhere.</param>
public sealed class ConvolutionUnits(IReadOnlyList<(Convolution Convolution, BatchNorm Norm)> units)
{
    /// <summary>The output <c>[N, C′, H′, W′]</c>.</summary>
    /// <param name="x"><c>[N, C, H, W]</c>.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="destination">
    /// Only on a tape or with folding: the slice of a wider tensor to write the output to, which is then returned.
    /// </param>
    public Tensor Forward(Tensor x, Pass pass, Tensor? destination = null)
    {
        using DisposeScope scope = NewDisposeScope();
        return scope.MoveToOuter((pass.Tape, pass.Folding) switch
        {
            ({ } tape, _) => Recorded(x, isConvolved: false, pass, tape, destination),
            (_, { } folding) => Folded(x, 0, folding, destination),
            _ => Ordinary(x, pass),
        });
    }

    /// <summary>The output, continuing from what <see cref="SharedConvolutions"/> computed.</summary>
    internal Tensor ForwardFrom(Tensor x, Pass pass, Tensor? destination)
    {
        using DisposeScope scope = NewDisposeScope();
        return scope.MoveToOuter(pass.Tape is { } tape
            ? Recorded(x, isConvolved: true, pass, tape, destination)
            : Folded(x, 1, pass.Folding!, destination));
    }

    private Tensor Folded(Tensor x, int first, BatchNormFolding folding, Tensor? destination)
    {
        for (int u = first; u < units.Count; u++)
        {
            using DisposeScope scope = NewDisposeScope();
            x = scope.MoveToOuter(units[u].Convolution.ForwardFolded(x, units[u].Norm, folding, u == units.Count - 1 ? destination : null));
        }

        return x;
    }

    private Tensor Ordinary(Tensor x, Pass pass)
    {
        foreach ((Convolution convolution, BatchNorm norm) in units)
        {
            using DisposeScope scope = NewDisposeScope();
            x = scope.MoveToOuter(Operators.Relu(norm.Forward(convolution.Forward(x, pass), pass), pass));
        }

        return x;
    }

    /// <remarks>If x is already convolved, it is the output of the first convolution.</remarks>
    private Tensor Recorded(Tensor x, bool isConvolved, Pass pass, Tape tape, Tensor? destination)
    {
        var points = new (Tensor Z, Tensor Saved)[units.Count];
        Tensor y = x;
        for (int u = 0; u < points.Length; u++)
        {
            (Convolution convolution, BatchNorm norm) = units[u];
            Tensor z = u == 0 && isConvolved ? x : convolution.Forward(y, pass);
            y = (u == points.Length - 1 ? destination : null) ?? TensorLayout.Empty(z.Sizes(), z);
            points[u] = (z, norm.ForwardRelu(z, pass, y));
        }

        tape.Add(new Map(units, pass, isConvolved ? null : x, points), y, x);
        return y;
    }

    /// <summary>
    /// It keeps the input of each norm, and recomputes the output of ReLU: a quarter less memory for little more time.
    /// </summary>
    private sealed class Map : LinearMap
    {
        private readonly IReadOnlyList<(Convolution Convolution, BatchNorm Norm)> _units;
        private readonly Pass _pass;
        private readonly Tensor? _x; // null: the first convolution belongs to another map
        private readonly (Tensor Z, Tensor Saved)[] _points;

        public Map(IReadOnlyList<(Convolution Convolution, BatchNorm Norm)> units, Pass pass, Tensor? x, (Tensor Z, Tensor Saved)[] points)
        {
            (_units, _pass, _x) = (units, pass, x is null ? null : Keep(x));
            _points = Array.ConvertAll(points, point => (Keep(point.Z), Keep(point.Saved)));
        }

        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
        {
            Tensor? tangent = inputs[0];
            for (int u = 0; u < _points.Length; u++)
            {
                (Tensor z, Tensor saved) = _points[u];
                (Tensor? ofInput, Tensor? ofWeight) = IsConvolved(u)
                    ? (tangent, null)
                    : _units[u].Convolution.Tangent(tangent, Input(u), _pass, direction);
                Tensor next = (u == _points.Length - 1 ? destination : null) ?? TensorLayout.Empty(z.Sizes(), z);
                Tensor? more = ofInput is null ? null : ofWeight;
                tangent = _units[u].Norm.TangentRelu(ofInput ?? ofWeight, more, z, saved, _pass, direction, next) ? next : null;
            }

            return tangent;
        }

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        {
            Tensor? cotangent = output;
            for (int u = _points.Length - 1; u >= 0; u--)
            {
                (Tensor z, Tensor saved) = _points[u];
                Tensor byConvolution = _units[u].Norm.CotangentRelu(cotangent!, z, saved, _pass, gradient);
                cotangent = IsConvolved(u)
                    ? byConvolution
                    : _units[u].Convolution.Cotangent(
                        byConvolution, Input(u), _pass, u > 0 || needed[0], u == 0 ? sums[0] : null, gradient);
            }

            return [cotangent];
        }

        private bool IsConvolved(int unit) => unit == 0 && _x is null;

        /// <summary>The input of a unit.</summary>
        private Tensor Input(int unit) => unit == 0 ? _x! : NormRelu.Recompute(_points[unit - 1].Z, _points[unit - 1].Saved);
    }
}
