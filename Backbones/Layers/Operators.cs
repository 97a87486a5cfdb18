namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>What layers without parameters compute, each told to the pass's cost meter.</summary>
internal static class Operators
{
    public static Tensor Relu(Tensor x, Pass pass)
    {
        Tensor y = x.relu();
        pass.Cost?.Elementwise(y);
        return y;
    }

    /// <summary>Of tensors <c>[N, …, H, W]</c> along the channels.</summary>
    public static Tensor Concatenate(Tensor[] parts, Pass pass)
    {
        Tensor y = cat(parts, 1);
        pass.Cost?.Free(parameters: 0, y);
        return y;
    }

    public static Tensor MeanPool(Tensor x, long kernel, Pass pass)
    {
        Tensor y = nn.functional.avg_pool2d(x, kernel);
        pass.Cost?.Pooling(kernel, y);
        return y;
    }

    public static Tensor MaxPool(Tensor x, long kernel, long stride, long padding, Pass pass)
    {
        Tensor y = nn.functional.max_pool2d(x, kernel, stride, padding);
        pass.Cost?.Pooling(kernel, y);
        return y;
    }
}
