namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>What layers without parameters compute, each told to the pass's cost meter.</summary>
internal static class Operators
{
    /// <summary>Not for a tape, where it belongs to <see cref="ConvolutionUnits"/>.</summary>
    public static Tensor Relu(Tensor x, Pass pass)
    {
        Tensor y = x.relu();
        pass.Cost?.Elementwise(y);
        return y;
    }

    /// <summary>Features <c>[N, C, H, W]</c> and behind them, along the channels, what chains make of others of their height and width.</summary>
    public static Tensor Join(Tensor features, (ConvolutionChain Chain, Tensor Input)[] added, Pass pass)
    {
        if (pass.Tape is { } tape)
        {
            return JoinedFeatures.Forward(features, added, pass, tape);
        }

        Tensor y = cat([features, .. added.Select(part => part.Chain.Forward(part.Input, pass))], 1);
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
}
