namespace Imta.MetaWeight.Backbones.Kernels;

/// <summary>Shapes in messages, such as <c>[2, 3]</c>.</summary>
internal static class ShapeTexts
{
    /// <summary>The text of a shape.</summary>
    public static string ShapeText(long[] shape) => $"[{string.Join(", ", shape)}]";

    /// <summary>The text of a tensor's shape.</summary>
    public static string ShapeText(Tensor tensor) => ShapeText(tensor.shape);
}
