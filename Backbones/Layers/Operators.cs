using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>Parameter-free operations, each recorded by the pass's cost meter and tape.</summary>
public static class Operators
{
    /// <summary>Not for use on a tape, where ReLU is part of <see cref="ConvolutionUnits"/> and <see cref="NormReluUnit"/>.</summary>
    internal static Tensor Relu(Tensor x, Pass pass)
    {
        Tensor y = x.relu();
        pass.Cost?.Elementwise(y);
        return y;
    }

    /// <summary>
    /// Concatenates features <c>[N, C]</c> or <c>[N, C, H, W]</c> with others of the same height and width, along the channels.
    /// </summary>
    /// <param name="features">The first features.</param>
    /// <param name="added">The features to append.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="reservedChannels">
    /// Channels that later layers will append to the result: on a tape or with folding, they are written right after it, without copying.
    /// </param>
    public static Tensor Join(Tensor features, JoinedPart[] added, Pass pass, long reservedChannels = 0)
    {
        if (pass.Tape is not null || pass.Folding is not null)
        {
            return JoinedFeatures.Forward(features, added, reservedChannels, pass.Tape);
        }

        Tensor y = cat([features, .. added.Select(part => part.Compute(null))], 1);
        pass.Cost?.Uncounted(parameters: 0, y);
        return y;
    }

    /// <summary>
    /// Average pooling over squares of pixels, flattened to a vector per sample: <c>[N, C, H, W]</c> → <c>[N, C · H/kernel · W/kernel]</c>.
    /// </summary>
    public static Tensor MeanPool(Tensor x, long kernel, Pass pass)
    {
        Tensor y = nn.functional.avg_pool2d(x, kernel);
        pass.Cost?.Pooling(kernel, y);
        Tensor flat = y.flatten(1);
        pass.Tape?.Add(new MeanPooling(x, kernel), flat, x);
        return flat;
    }

    /// <summary>Max pooling over square windows: <c>[N, C, H, W]</c> → <c>[N, C, H′, W′]</c>.</summary>
    public static Tensor MaxPool(Tensor x, long kernel, long stride, long padding, Pass pass)
    {
        Tensor y = pass.Tape is { } tape
            ? MaxPooling.Forward(x, kernel, stride, padding, tape)
            : nn.functional.max_pool2d(x, kernel, stride, padding);
        pass.Cost?.Pooling(kernel, y);
        return y;
    }

    /// <summary>
    /// Bilinear interpolation with aligned corners: <c>[N, C, H, W]</c> → <c>[N, C, size]</c>; x itself if it already has that size.
    /// </summary>
    /// <param name="x">The features to resize.</param>
    /// <param name="size">Height and width.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="destination">Only on a tape or with folding: the tensor to write the result to, which is then returned.</param>
    public static Tensor Interpolate(Tensor x, long[] size, Pass pass, Tensor? destination = null)
    {
        if (x.Sizes().AsSpan(2).SequenceEqual(size))
        {
            return x;
        }

        Tensor y = Interpolation.Resize(x, size);
        pass.Cost?.Uncounted(parameters: 0, y);
        if (destination is not null)
        {
            destination.copy_(y);
            y = destination;
        }

        pass.Tape?.Add(new Interpolation(x.Sizes(), size), y, x);
        return y;
    }

    /// <summary>x in another element type; x itself if it already has that type.</summary>
    public static Tensor Convert(Tensor x, ScalarType type, Pass pass)
    {
        if (x.dtype == type)
        {
            return x;
        }

        Tensor y = x.to_type(type);
        pass.Tape?.Add(new Conversion(x.dtype, type), y, x);
        return y;
    }

    /// <summary>The value of x, with its gradient stopped.</summary>
    public static Tensor StopGradient(Tensor x, Pass pass)
    {
        Tensor y = x.detach();
        pass.Tape?.AddConstant(y);
        return y;
    }

    /// <summary>The sum of two tensors of equal shape.</summary>
    public static Tensor Add(Tensor a, Tensor b, Pass pass)
    {
        Tensor y = a.add(b, One);
        pass.Cost?.Elementwise(y);
        pass.Tape?.Add(new Addition(), y, a, b);
        return y;
    }

    /// <summary>Tangent and cotangent of the sum of two tensors of equal shape.</summary>
    private sealed class Addition : LinearMap
    {
        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
            => inputs[0] is { } a && inputs[1] is { } b ? a.add(b, One) : inputs[0] ?? inputs[1];

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
            => [output, needed[1] ? output.clone() : null];
    }

    /// <summary>Tangent and cotangent of <see cref="Operators.Convert"/>.</summary>
    private sealed class Conversion(ScalarType from, ScalarType to) : LinearMap
    {
        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
            => inputs[0]?.to_type(to);

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient) => [output.to_type(from)];
    }

    /// <summary>Tangent and cotangent of <see cref="Operators.Interpolate"/>, which is linear itself.</summary>
    private sealed class Interpolation(long[] shape, long[] size) : LinearMap
    {
        /// <summary>The value: <c>[N, C, H, W]</c> resized to another height and width.</summary>
        public static Tensor Resize(Tensor x, long[] size)
            => nn.functional.interpolate(x, size, mode: InterpolationMode.Bilinear, align_corners: true);

        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
            => inputs[0] is { } change ? Resize(change, size) : null;

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
            => [TensorLayout.ChannelsLast(MissingOperators.UpsampleBilinear2dBackward(output, shape))];
    }

    /// <summary>Max pooling on a tape: the linearisation selects the same pixels.</summary>
    private sealed class MaxPooling : LinearMap
    {
        private readonly Tensor _x;
        private readonly Tensor _picked; // [N, C, H′, W′]: index into H · W
        private readonly long[][] _window; // kernel, stride, padding

        private MaxPooling(Tensor x, Tensor picked, long[][] window) => (_x, _picked, _window) = (Keep(x), Keep(picked), window);

        /// <inheritdoc cref="Operators.MaxPool"/>
        public static Tensor Forward(Tensor x, long kernel, long stride, long padding, Tape tape)
        {
            long[][] window = [[kernel, kernel], [stride, stride], [padding, padding]];
            (Tensor y, Tensor picked) = nn.functional.max_pool2d_with_indices(x, window[0], window[1], window[2]);
            tape.Add(new MaxPooling(x, picked, window), y, x);
            return y;
        }

        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
            => inputs[0]?.flatten(2).gather(2, _picked.flatten(2)).reshape(_picked.Sizes());

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
            => [MissingOperators.MaxPool2dWithIndicesBackward(output, _x, _window[0], _window[1], _window[2], _picked)];
    }

    /// <summary>Tangent and cotangent of <see cref="Operators.MeanPool"/>, which is linear itself.</summary>
    private sealed class MeanPooling : LinearMap
    {
        private readonly Tensor _x;
        private readonly long _kernel;

        public MeanPooling(Tensor x, long kernel) => (_x, _kernel) = (Keep(x), kernel);

        public override Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination)
            => inputs[0] is { } change ? nn.functional.avg_pool2d(change, _kernel).flatten(1) : null;

        public override IReadOnlyList<Tensor?> Cotangent(
            Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        {
            long[] shape = _x.Sizes();
            Tensor g = output.reshape(shape[0], shape[1], shape[2] / _kernel, shape[3] / _kernel);
            return [MissingOperators.AvgPool2dBackward(g, _x, _kernel)];
        }
    }
}
