
namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>The preprocessing of an image in evaluation: torchvision's <c>Resize</c> and <c>CenterCrop</c>.</summary>
/// <param name="Side">Height and width of the input, in pixels.</param>
/// <param name="Resized">The size to which the shorter side is resized first, in pixels.</param>
internal readonly record struct ImageTransform(int Side, int Resized)
{
    /// <summary>Height and width of CIFAR's images, in pixels.</summary>
    public const int CifarSide = 32;

    /// <summary>The standard evaluation of ImageNet networks.</summary>
    public static ImageTransform ImageNet { get; } = new(RandomCrop.Side, 256);

    /// <summary>The whole image with its shorter side resized, then centre-cropped.</summary>
    /// <param name="width">The image's width in pixels.</param>
    /// <param name="height">The image's height in pixels.</param>
    public ImageWindow ForEvaluation(int width, int height)
    {
        int longer = (int)Math.Min(int.MaxValue, (double)Resized * Math.Max(width, height) / Math.Min(width, height));
        (int rows, int columns) = width <= height ? (longer, Resized) : (Resized, longer);
        return new(
            0, 0, height, width, rows, columns, RandomCrop.Rounded((rows - Side) / 2.0), RandomCrop.Rounded((columns - Side) / 2.0), Side,
            Side);
    }
}
