namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>What layers without parameters compute, each told to the pass's cost meter and its tape.</summary>
internal static class Operators
{
    /// <summary>Not for a tape, where it belongs to <see cref="ConvolutionUnits"/> and <see cref="NormReluUnit"/>.</summary>
    public static Tensor Relu(Tensor x, Pass pass)
    {
        Tensor y = x.relu();
        pass.Cost?.Elementwise(y);
        return y;
    }

    /// <summary>
    /// Features <c>[N, C]</c> or <c>[N, C, H, W]</c> and behind them, along the channels, others of their height and width.
    /// </summary>
    /// <param name="features">What comes first.</param>
    /// <param name="added">What comes behind it.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="room">Channels that later layers will join to the result: on a tape or with folding they are written behind it, and nothing is copied then.</param>
    public static Tensor Join(Tensor features, JoinedPart[] added, Pass pass, long room = 0)
    {
        if (pass.Tape is not null || pass.Folding is not null)
        {
            return JoinedFeatures.Forward(features, added, room, pass.Tape);
        }

        Tensor y = cat([features, .. added.Select(part => part.Compute(null))], 1);
        pass.Cost?.Free(parameters: 0, y);
        return y;
    }

    /// <summary>Means over squares of pixels, one vector a sample: <c>[N, C, H, W]</c> → <c>[N, C · H/kernel · W/kernel]</c>.</summary>
    public static Tensor MeanPool(Tensor x, long kernel, Pass pass)
    {
        Tensor y = nn.functional.avg_pool2d(x, kernel);
        pass.Cost?.Pooling(kernel, y);
        Tensor flat = y.flatten(1);
        pass.Tape?.Add(new MeanPooling(x, kernel), flat, x);
        return flat;
    }

    public static Tensor MaxPool(Tensor x, long kernel, long stride, long padding, Pass pass)
    {
        Tensor y = pass.Tape is { } tape ? MaxPooling.Forward(x, kernel, stride, padding, tape) : nn.functional.max_pool2d(x, kernel, stride, padding);
        pass.Cost?.Pooling(kernel, y);
        return y;
    }

    /// <summary>
    /// Bilinear with aligned corners: <c>[N, C, H, W]</c> → <c>[N, C, size]</c>; the tensor itself where it has the size.
    /// </summary>
    /// <param name="x">What is resized.</param>
    /// <param name="size">Height and width.</param>
    /// <param name="pass">The pass.</param>
    /// <param name="place">On a tape or with folding only: where the result is written to; it is the result then.</param>
    public static Tensor Interpolate(Tensor x, long[] size, Pass pass, Tensor? place = null)
    {
        if (x.shape.AsSpan(2).SequenceEqual(size))
        {
            return x;
        }

        Tensor y = Interpolation.Of(x, size);
        pass.Cost?.Free(parameters: 0, y);
        if (place is not null)
        {
            place.copy_(y);
            y = place;
        }

        pass.Tape?.Add(new Interpolation(x.shape, size), y, x);
        return y;
    }

    /// <summary>R(x; slope): the value of x, bit for bit, with slope times its derivative.</summary>
    public static Tensor Rescale(Tensor x, double slope, Pass pass)
    {
        if (pass.Tape is { } tape)
        {
            Tensor y = x.detach();
            tape.Add(new Scaling(slope), y, x);
            return y;
        }

        // 0 is subtracted, which leaves −0 what it is.
        return is_grad_enabled() ? x.detach().sub(x.detach().sub(x).mul(slope)) : x;
    }

    /// <summary>x in another element type; the tensor itself where it has it.</summary>
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

    /// <summary>The value of x, from which no derivative comes back.</summary>
    public static Tensor Stop(Tensor x, Pass pass)
    {
        Tensor y = x.detach();
        pass.Tape?.AddConstant(y);
        return y;
    }

    public static Tensor Add(Tensor a, Tensor b, Pass pass)
    {
        Tensor y = a + b;
        pass.Cost?.Elementwise(y);
        pass.Tape?.Add(new Addition(), y, a, b);
        return y;
    }
}
