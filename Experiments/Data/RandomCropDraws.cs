using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// The random numbers for the crops and flips of a batch, drawn up front, so that the decoding order does not affect the result.
/// </summary>
internal sealed class RandomCropDraws
{
    private const int NumbersPerTry = 4; // area fraction, aspect ratio, row, column
    private const int NumbersPerImage = (RandomCrop.MaxAttempts * NumbersPerTry) + 1; // plus the flip

    private readonly float[] _numbers; // [N, NumbersPerImage], each in [0, 1)

    /// <param name="numbers">For each image, four per crop attempt and one for the flip; each in [0, 1).</param>
    internal RandomCropDraws(float[] numbers) => _numbers = numbers;

    /// <summary>Draws the numbers for a batch.</summary>
    /// <param name="count">The number of images N.</param>
    /// <param name="random">The generator, e.g. for <see cref="SeedSequence.Augmentation"/>, epoch and batch.</param>
    public static RandomCropDraws Sample(int count, Generator random)
    {
        using DisposeScope scope = NewDisposeScope();
        return new RandomCropDraws(rand([count, NumbersPerImage], float32, generator: random).ToArray<float>());
    }

    /// <summary>The numbers for a subset of the images.</summary>
    /// <param name="within">The indices, in 0 … N − 1.</param>
    public RandomCropDraws Select(IEnumerable<long> within)
        => new([.. within.SelectMany(sample => _numbers.AsSpan((int)sample * NumbersPerImage, NumbersPerImage).ToArray())]);

    /// <summary>Whether an image is flipped horizontally, with probability ½.</summary>
    /// <param name="sample">0 … N − 1.</param>
    public bool Flips(int sample) => _numbers[(sample * NumbersPerImage) + NumbersPerImage - 1] < 0.5;

    /// <summary>An image's crop: the first attempt that fits, otherwise the centre.</summary>
    /// <param name="sample">0 … N − 1.</param>
    /// <param name="width">The image's width in pixels.</param>
    /// <param name="height">The image's height in pixels.</param>
    public ImageWindow Window(int sample, int width, int height)
    {
        for (int k = 0; k < RandomCrop.MaxAttempts; k++)
        {
            ReadOnlySpan<float> drawn = _numbers.AsSpan((sample * NumbersPerImage) + (k * NumbersPerTry), NumbersPerTry);
            double area = RandomCrop.MinAreaFraction + (drawn[0] * (1 - RandomCrop.MinAreaFraction));
            double aspect = Math.Pow(RandomCrop.MaxAspectRatio, (2 * drawn[1]) - 1);
            if (RandomCrop.Size(width, height, area, aspect) is { } size)
            {
                return RandomCrop.Resized(
                    Pick(drawn[2], height - size.Height), Pick(drawn[3], width - size.Width), size.Height, size.Width);
            }
        }

        (int top, int left, int cropHeight, int cropWidth) = RandomCrop.CentreFallback(width, height);
        return RandomCrop.Resized(top, left, cropHeight, cropWidth);
    }

    /// <summary>One of 0 … <paramref name="last"/>.</summary>
    private static int Pick(float number, int last) => Math.Min((int)(number * (last + 1.0)), last);
}
