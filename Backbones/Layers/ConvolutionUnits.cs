using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Convolution → batch norm → ReLU; or some side by side that read one input, of one kernel, stride and padding and without biases.</summary>
internal sealed record ConvolutionUnit(IReadOnlyList<Convolution> Convolutions, IReadOnlyList<BatchNorm> Norms)
{
    public ConvolutionUnit(Convolution convolution, BatchNorm norm)
        : this([convolution], [norm])
    {
    }

    /// <summary>Units side by side as one.</summary>
    public static ConvolutionUnit Joined(IEnumerable<ConvolutionUnit> units)
        => new([.. units.SelectMany(unit => unit.Convolutions)], [.. units.SelectMany(unit => unit.Norms)]);
}

/// <summary>What a unit made, and on a tape what it made it of (<see cref="NormRelu.Again"/>): its reader keeps that instead.</summary>
internal sealed record UnitOutput(Tensor Y, Tensor? Z, Tensor? Saved)
{
    /// <summary>The first channels of the slices whose readers reach a logit: a parameter of the others has no gradient, which is not a zero one.</summary>
    public HashSet<long> Read { get; } = [];
}

/// <summary>Some channels of what a unit made.</summary>
internal readonly record struct UnitSlice(UnitOutput Of, long Start, long Channels)
{
    public Tensor Y => Of.Y.narrow(1, Start, Channels);

    public Tensor? Z => Of.Z?.narrow(1, Start, Channels);

    /// <summary><c>[4, Channels]</c>, without gaps.</summary>
    public Tensor? Saved => Of.Saved?.narrow(1, Start, Channels).contiguous();
}

/// <summary>Units one after the other: the layer that MSDNet and RANet are made of.</summary>
/// <remarks>Not a module: the published names know its parts only.</remarks>
internal sealed class ConvolutionUnits(IReadOnlyList<ConvolutionUnit> units)
{
    /// <summary>The output <c>[N, C′, H′, W′]</c>.</summary>
    /// <param name="x"><c>[N, C, H, W]</c>.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="place">On a tape only: the slice of a wider tensor that the output is to be written to; it is the result then.</param>
    public Tensor Forward(Tensor x, Pass pass, Tensor? place = null)
    {
        using DisposeScope scope = NewDisposeScope();
        return scope.MoveToOuter((pass.Tape, pass.Folding) switch
        {
            ({ } tape, _) => Recorded(x, null, pass, tape, place).Y,
            (_, { } folding) => Folded(x, folding),
            _ => Ordinary(x, pass),
        });
    }

    /// <summary>The output, for readers of some of its channels: on a tape or with folding.</summary>
    public UnitOutput ForwardShared(Tensor x, Pass pass)
    {
        using DisposeScope scope = NewDisposeScope();
        UnitOutput output = pass.Tape is { } tape ? Recorded(x, null, pass, tape, null) : new(Folded(x, pass.Folding!), null, null);
        Array.ForEach([output.Y, output.Z, output.Saved], tensor => tensor?.MoveToOuterDisposeScope());
        return output;
    }

    /// <summary>The same of some channels of what a unit made.</summary>
    public Tensor Forward(UnitSlice x, Pass pass, Tensor? place)
    {
        using DisposeScope scope = NewDisposeScope();
        return scope.MoveToOuter(pass.Tape is { } tape ? Recorded(x.Y, x, pass, tape, place).Y : Folded(x.Y, pass.Folding!));
    }

    private Tensor Folded(Tensor x, Folding folding)
    {
        foreach (ConvolutionUnit unit in units)
        {
            using DisposeScope scope = NewDisposeScope();
            x = scope.MoveToOuter(Convolution.ForwardFolded(unit.Convolutions, unit.Norms, x, folding));
        }

        return x;
    }

    private Tensor Ordinary(Tensor x, Pass pass)
    {
        foreach (ConvolutionUnit unit in units)
        {
            using DisposeScope scope = NewDisposeScope();
            x = scope.MoveToOuter(Operators.Relu(unit.Norms.Single().Forward(unit.Convolutions.Single().Forward(x, pass), pass), pass));
        }

        return x;
    }

    private UnitOutput Recorded(Tensor x, UnitSlice? slice, Pass pass, Tape tape, Tensor? place)
    {
        var points = new (Tensor Z, Tensor Saved)[units.Count];
        Tensor y = x;
        for (int u = 0; u < points.Length; u++)
        {
            Tensor z = Convolution.ForwardTogether(units[u].Convolutions, y, pass);
            y = (u == points.Length - 1 ? place : null) ?? Layout.Empty(z.shape, z);
            points[u] = (z, BatchNorm.ForwardRelu(units[u].Norms, z, pass, y));
        }

        var output = new UnitOutput(y, points[^1].Z, points[^1].Saved);
        tape.Add(new Map(units, pass, x, slice, points, output), y, slice?.Of.Y ?? x);
        return output;
    }

    /// <summary>It keeps what goes into each norm, and computes what comes out behind ReLU again: a quarter less memory, little more time.</summary>
    private sealed class Map : LinearMap
    {
        private readonly IReadOnlyList<ConvolutionUnit> _units;
        private readonly Pass _pass;
        private readonly Tensor? _x; // null where it is made of a point too
        private readonly (Tensor Z, Tensor Saved)? _before;
        private readonly (Tensor Z, Tensor Saved)[] _points;
        private readonly (UnitSlice Of, long[] Whole)? _slice; // of a wider input
        private readonly UnitOutput _output;

        public Map(IReadOnlyList<ConvolutionUnit> units, Pass pass, Tensor x, UnitSlice? slice, (Tensor Z, Tensor Saved)[] points, UnitOutput output)
        {
            (_units, _pass, _output, _points) = (units, pass, output, Array.ConvertAll(points, point => (Keep(point.Z), Keep(point.Saved))));
            if (slice is { } part)
            {
                (_slice, _before) = ((part, part.Of.Y.shape), (Keep(part.Z!), Keep(part.Saved!)));
            }
            else
            {
                _x = Keep(x);
            }
        }

        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? place)
        {
            Tensor? tangent = _slice is { } slice ? inputs[0]?.narrow(1, slice.Of.Start, slice.Of.Channels) : inputs[0];
            for (int u = 0; u < _points.Length; u++)
            {
                (Tensor z, Tensor saved) = _points[u];
                (Tensor? ofInput, Tensor? ofWeight) = Convolution.Tangent(_units[u].Convolutions, tangent, Input(u), _pass, direction);
                Tensor next = (u == _points.Length - 1 ? place : null) ?? Layout.Empty(z.shape, z);
                bool changes = BatchNorm.TangentRelu(
                    _units[u].Norms, ofInput ?? ofWeight, ofInput is null ? null : ofWeight, z, saved, _pass, direction, next);
                tangent = changes ? next : null;
            }

            return tangent;
        }

        public override IReadOnlyList<Tensor?> Cotangent(Tensor output, IReadOnlyList<bool> wanted, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        {
            Tensor? whole = sums[0], sum = whole, cotangent = output;
            if (_slice is { } slice)
            {
                // Others read the other channels; what nobody reads stays zero.
                whole ??= Layout.Empty(slice.Whole, output).zero_();
                sum = whole.narrow(1, slice.Of.Start, slice.Of.Channels);
                slice.Of.Of.Read.Add(slice.Of.Start);
            }

            Func<long, bool> isRead = _units is [{ Convolutions.Count: > 1 }] ? _output.Read.Contains : _ => true;
            for (int u = _points.Length - 1; u >= 0; u--)
            {
                (Tensor z, Tensor saved) = _points[u];
                Tensor byConvolution = BatchNorm.CotangentRelu(_units[u].Norms, cotangent!, z, saved, _pass, isRead, gradient);
                cotangent = Convolution.Cotangent(
                    _units[u].Convolutions, byConvolution, Input(u), _pass, u > 0 || wanted[0], u == 0 ? sum : null, isRead, gradient);
            }

            if (_slice is null || !wanted[0])
            {
                return [cotangent];
            }

            if (!ReferenceEquals(cotangent, sum))
            {
                Layout.AddTo(sum!, cotangent!);
            }

            return [whole];
        }

        /// <summary>What went into a unit.</summary>
        private Tensor Input(int unit) => unit > 0 ? NormRelu.Again(_points[unit - 1].Z, _points[unit - 1].Saved)
            : _before is { } before ? NormRelu.Again(before.Z, before.Saved)
            : _x!;
    }
}
