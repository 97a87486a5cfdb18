namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>
/// Which part of a picture a network for ImageNet sees in training: torchvision's <c>RandomResizedCrop</c>, given the
/// numbers that it draws. In evaluation it is <see cref="PictureShape.ForEvaluation"/>.
/// </summary>
internal static class PictureCrop
{
    /// <summary>Height and width of what the network sees, in pixels.</summary>
    public const int Side = 224;

    /// <summary>The least share of a picture's area that a crop aims at; the largest is 1.</summary>
    public const double LeastArea = 0.08;

    /// <summary>The largest aspect ratio, width over height, that a crop aims at; the least is its inverse.</summary>
    public const double LargestAspect = 4.0 / 3;

    /// <summary>How often a crop is drawn; where none fits, it is <see cref="Middle"/>.</summary>
    public const int Tries = 10;

    /// <summary>Height and width of a crop, in pixels; null: it does not fit into the picture.</summary>
    /// <param name="width">The picture's.</param>
    /// <param name="height">The picture's.</param>
    /// <param name="areaShare">The share of the picture's area that is wanted.</param>
    /// <param name="aspect">The aspect ratio that is wanted.</param>
    public static (int Height, int Width)? Size(int width, int height, double areaShare, double aspect)
    {
        double area = (double)width * height * areaShare;
        var size = (Height: Rounded(Math.Sqrt(area / aspect)), Width: Rounded(Math.Sqrt(area * aspect)));
        return size.Width > 0 && size.Width <= width && size.Height > 0 && size.Height <= height ? size : null;
    }

    /// <summary>The crop of a picture for which no drawn one fits: the largest around its middle with an aspect ratio in the range.</summary>
    /// <param name="width">The picture's, in pixels.</param>
    /// <param name="height">The picture's, in pixels.</param>
    public static (int Top, int Left, int Height, int Width) Middle(int width, int height)
    {
        double aspect = (double)width / height;
        (int cropWidth, int cropHeight) = aspect < 1 / LargestAspect ? (width, Rounded(width * LargestAspect))
            : aspect > LargestAspect ? (Rounded(height * LargestAspect), height)
            : (width, height);
        return ((height - cropHeight) / 2, (width - cropWidth) / 2, cropHeight, cropWidth);
    }

    /// <summary>All of a crop, resized to <see cref="Side"/>.</summary>
    public static PictureWindow OfCrop(int top, int left, int height, int width) => new(top, left, height, width, Side, Side, 0, 0, Side, Side);

    /// <summary>Halves to the even neighbour, as Python rounds.</summary>
    internal static int Rounded(double value) => (int)Math.Round(value, MidpointRounding.ToEven);
}
