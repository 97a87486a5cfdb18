namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>
/// The crop of an image that a network for ImageNet sees in training: torchvision's <c>RandomResizedCrop</c>, given the
/// random numbers. In evaluation it is <see cref="ImageTransform.ForEvaluation"/>.
/// </summary>
internal static class RandomCrop
{
    /// <summary>Height and width of the network's input, in pixels.</summary>
    public const int Side = 224;

    /// <summary>The smallest target share of an image's area; the largest is 1.</summary>
    public const double MinAreaFraction = 0.08;

    /// <summary>The largest aspect ratio, width over height, of a crop; the smallest is its inverse.</summary>
    public const double MaxAspectRatio = 4.0 / 3;

    /// <summary>The maximum number of draws; if none fits, <see cref="CentreFallback"/> is used.</summary>
    public const int MaxAttempts = 10;

    /// <summary>Height and width of a crop, in pixels; null: it does not fit into the image.</summary>
    /// <param name="width">The image's width.</param>
    /// <param name="height">The image's height.</param>
    /// <param name="areaShare">The requested share of the image's area.</param>
    /// <param name="aspect">The requested aspect ratio.</param>
    public static (int Height, int Width)? Size(int width, int height, double areaShare, double aspect)
    {
        double area = (double)width * height * areaShare;
        var size = (Height: Rounded(Math.Sqrt(area / aspect)), Width: Rounded(Math.Sqrt(area * aspect)));
        return size.Width > 0 && size.Width <= width && size.Height > 0 && size.Height <= height ? size : null;
    }

    /// <summary>The fallback crop if no drawn one fits: the largest centred crop with an aspect ratio in the range.</summary>
    /// <param name="width">The image's width in pixels.</param>
    /// <param name="height">The image's height in pixels.</param>
    public static (int Top, int Left, int Height, int Width) CentreFallback(int width, int height)
    {
        double aspect = (double)width / height;
        (int cropWidth, int cropHeight) = aspect < 1 / MaxAspectRatio ? (width, Rounded(width * MaxAspectRatio))
            : aspect > MaxAspectRatio ? (Rounded(height * MaxAspectRatio), height)
            : (width, height);
        return ((height - cropHeight) / 2, (width - cropWidth) / 2, cropHeight, cropWidth);
    }

    /// <summary>A crop resized to <see cref="Side"/>.</summary>
    public static ImageWindow Resized(int top, int left, int height, int width)
        => new(top, left, height, width, Side, Side, 0, 0, Side, Side);

    /// <summary>Rounds halves to even, like Python.</summary>
    internal static int Rounded(double value) => (int)Math.Round(value, MidpointRounding.ToEven);
}
