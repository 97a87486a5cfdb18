namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// The standard augmentation of CIFAR's training images: padded with black pixels on each side (4 for a side of 32), cropped at a random
/// position, flipped horizontally with probability 1/2, normalised. Operates on whole batches on the batch's device.
/// </summary>
internal static class Augmentation
{
    private const int SideOverPadding = 8; // 4 pixels for CIFAR's 32, and the same share for other sizes

    /// <summary>Draws crops and flips for a batch, on the CPU.</summary>
    /// <param name="count">The number N of images.</param>
    /// <param name="random">For example the generator for <see cref="SeedSequence.Augmentation"/>, the epoch and the batch.</param>
    /// <param name="side">Their height and width S.</param>
    public static CropAndFlip Sample(int count, Generator random, int side = ImageSet.Side)
    {
        int padding = side / SideOverPadding;

        // One tensor each, in this order: changing the order would change the meaning of a seed.
        var top = randint(0, (2 * padding) + 1, [count], ScalarType.Int64, generator: random);
        var left = randint(0, (2 * padding) + 1, [count], ScalarType.Int64, generator: random);
        var flip = randint(0, 2, [count], ScalarType.Int64, generator: random);
        return new CropAndFlip(top, left, flip);
    }

    /// <summary>Crops, flips and normalises: [N, 3, S, S] of the requested element type, on the images' device.</summary>
    /// <param name="images">uint8 [N, 3, S, S].</param>
    /// <param name="draw">Crops and flips, on any device.</param>
    /// <param name="normalisation">Applied last: the padding is black before normalisation, as in torchvision.</param>
    /// <param name="type">The requested element type.</param>
    public static Tensor Apply(Tensor images, CropAndFlip draw, Normalisation normalisation, ScalarType type = ScalarType.Float32)
    {
        using var scope = NewDisposeScope();
        var device = images.device;
        (long count, int side) = (images.size(0), (int)images.size(2));
        int padding = side / SideOverPadding, wide = side + (2 * padding);
        var padded = nn.functional.pad(images, [padding, padding, padding, padding]); // [N, 3, W, W]

        // Column j of the result is column left + j of the padded image, or left + S − 1 − j: left + (S − 1)·flip + (1 − 2·flip)·j.
        var step = arange(Held(0), Held(side), One, ScalarType.Int64, device); // [S]
        var flip = ToDevice(draw.Flip);
        var columns = ToDevice(draw.Left).add(flip, Held(side - 1)).add(flip.mul(Held(-2)).add(Held(1), One) * step, One); // [N, S]
        var rows = ToDevice(draw.Top).add(step, One); // [N, S]
        var pixels = columns.unsqueeze(1).add(rows.unsqueeze(2), Held(wide)); // [N, S, S]: index into W·W
        var index = pixels.view(count, 1, -1).expand(-1, 3, -1); // [N, 3, S·S]

        var cut = padded.view(count, 3, -1).gather(2, index).view(count, 3, side, side);
        return normalisation.Apply(cut, type).MoveToOuterDisposeScope();

        // From pageable memory: the driver copies it immediately, without synchronising with the device.
        Tensor ToDevice(Tensor drawn) => drawn.to(device, non_blocking: true).view(count, 1);
    }

    /// <summary>Crops and flips of a batch.</summary>
    /// <param name="Top">int64 [N]: the crop's first row in the padded image, 0 … 2·padding, where the value padding is centred.</param>
    /// <param name="Left">int64 [N]: the crop's first column in the padded image, 0 … 2·padding.</param>
    /// <param name="Flip">int64 [N]: 1 to flip horizontally, else 0.</param>
    public sealed record CropAndFlip(Tensor Top, Tensor Left, Tensor Flip)
    {
        /// <summary>The draws for a subset of the images.</summary>
        /// <param name="within">Which, int64 [n] of 0 … N − 1.</param>
        public CropAndFlip Select(Tensor within)
            => new(Top.index_select(0, within), Left.index_select(0, within), Flip.index_select(0, within));
    }
}
