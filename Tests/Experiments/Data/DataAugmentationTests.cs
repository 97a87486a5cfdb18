using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

public sealed class DataAugmentationTests
{
    private static byte[] Bytes(int count, int side = 32)
    {
        var bytes = new byte[count * 3 * side * side];
        new Random(4).NextBytes(bytes);
        return bytes;
    }

    // One image after the other: pad, cut out, flip, normalise.
    private static float[] Reference(
        byte[] images, long[] top, long[] left, long[] flip, Normalisation normalisation, int side = 32)
    {
        int padding = side / 8;
        var result = new float[images.Length];
        for (int n = 0; n < top.Length; n++)
        {
            for (int channel = 0; channel < 3; channel++)
            {
                var padded = new byte[side + (2 * padding), side + (2 * padding)];
                for (int row = 0; row < side; row++)
                {
                    for (int column = 0; column < side; column++)
                    {
                        padded[row + padding, column + padding] = images[(((((n * 3) + channel) * side) + row) * side) + column];
                    }
                }

                for (int row = 0; row < side; row++)
                {
                    for (int column = 0; column < side; column++)
                    {
                        byte value = padded[top[n] + row, left[n] + (flip[n] == 1 ? side - 1 - column : column)];
                        result[(((((n * 3) + channel) * side) + row) * side) + column]
                            = ((value / 255f) - (float)normalisation.Mean[channel]) / (float)normalisation.Std[channel];
                    }
                }
            }
        }

        return result;
    }

    private static float[] Augmented(
        byte[] images, long[] top, long[] left, long[] flip, Normalisation normalisation, int side = 32)
    {
        using var scope = NewDisposeScope();
        var draw = new Augmentation.CropAndFlip(tensor(top), tensor(left), tensor(flip));
        return Augmentation.Apply(tensor(images, [top.Length, 3, side, side]), draw, normalisation).data<float>().ToArray();
    }

    [Fact]
    public void Every_crop_and_flip_equals_the_image_by_image_loop()
    {
        // All 9 · 9 · 2 cases, each on an image of its own.
        int[] cases = [.. Enumerable.Range(0, 9 * 9 * 2)];
        long[] top = [.. cases.Select(c => (long)(c / 18))];
        long[] left = [.. cases.Select(c => (long)(c / 2 % 9))];
        long[] flip = [.. cases.Select(c => (long)(c % 2))];
        byte[] images = Bytes(cases.Length);
        foreach (var normalisation in (Normalisation[])[Normalisation.Cifar10, Normalisation.Cifar100, Normalisation.Generated])
        {
            Augmented(images, top, left, flip, normalisation).AsSpan()
                .SequenceEqual(Reference(images, top, left, flip, normalisation)).Should().BeTrue();
        }
    }

    [Theory]
    [InlineData(16)]
    [InlineData(60)]
    public void Images_of_any_side_are_padded_by_an_eighth_of_it(int side)
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(5);
        var draw = Augmentation.Sample(500, random, side);
        (long[] top, long[] left, long[] flip) = (draw.Top.ToArray<long>(), draw.Left.ToArray<long>(), draw.Flip.ToArray<long>());
        (top.Min(), top.Max(), left.Min(), left.Max()).Should().Be((0, 2 * (side / 8), 0, 2 * (side / 8)));
        byte[] images = Bytes(500, side);

        Augmented(images, top, left, flip, Normalisation.Cifar10, side).AsSpan()
            .SequenceEqual(Reference(images, top, left, flip, Normalisation.Cifar10, side)).Should().BeTrue();
    }

    [Fact]
    public void The_middle_crop_without_a_flip_is_the_image_itself()
    {
        using var scope = NewDisposeScope();
        byte[] images = Bytes(2);
        Augmented(images, [4, 4], [4, 4], [0, 0], Normalisation.Cifar10)
            .Should().Equal(Normalisation.Cifar10.Apply(tensor(images, [2, 3, 32, 32])).data<float>().ToArray());
    }

    [Fact]
    public void Draws_cover_every_place_and_both_directions_evenly()
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(11);
        var draw = Augmentation.Sample(9000, random);
        foreach (var (numbers, choices) in (ValueTuple<Tensor, int>[])[(draw.Top, 9), (draw.Left, 9), (draw.Flip, 2)])
        {
            long[] counts = numbers.bincount(null).data<long>().ToArray();
            counts.Should().HaveCount(choices);
            double expected = 9000.0 / choices;
            counts.Sum(c => (c - expected) * (c - expected) / expected)
                .Should().BeLessThan(30, "chi-squared with up to 8 degrees of freedom");
        }

        draw.Left.data<long>().ToArray().Should().NotEqual(draw.Top.data<long>().ToArray());
    }

    [Fact]
    public void Intermediates_do_not_outlive_the_call()
    {
        using var scope = NewDisposeScope();
        using var random = new Generator(1);
        var images = tensor(Bytes(3), [3, 3, 32, 32]);
        var draw = Augmentation.Sample(3, random);
        int before = scope.DisposablesCount;
        _ = Augmentation.Apply(images, draw, Normalisation.Cifar10);
        _ = Normalisation.Cifar10.Apply(images, ScalarType.Float64);
        scope.DisposablesCount.Should().Be(before + 2);
    }
}
