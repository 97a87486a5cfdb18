using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Random = System.Random;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

public sealed class ResamplingTests
{
    /// <summary>Whatever a window's width leaves to the end of a vector, and whatever lies around the part that was decoded.</summary>
    [Fact]
    public void Any_window_is_that_of_the_plain_sums_to_the_bit() => Prop.ForAll(Arb.From(
        from width in Gen.Frequency((4, Gen.Choose(1, 90)), (1, Gen.Choose(1, 1500)))
        from height in Gen.Frequency((4, Gen.Choose(1, 90)), (1, Gen.Choose(1, 300)))
        from flip in ArbMap.Default.GeneratorFor<bool>()
        from seed in Gen.Choose(0, int.MaxValue)
        select (width, height, flip, seed)),
        c =>
        {
            var random = new Random(c.seed);
            byte[] pixels = Pixels(random, c.width * c.height);
            ImageWindow window = PlainResampling.AnyWindow(random, c.width, c.height);

            Resampled(pixels, c.width, window, c.flip, random).Should()
                .Equal(PlainResampling.Of(pixels, c.width, window, c.flip), window.ToString());
        }).Hold(400);

    /// <summary>Rounded weights of so many inputs sum up to more than one.</summary>
    [Fact]
    public void White_stays_white_however_much_it_is_reduced()
    {
        const int Width = 40_000;
        var window = new ImageWindow(0, 0, 1, Width, 1, 3, 0, 0, 1, 3);

        Resampled([.. Enumerable.Repeat((byte)255, 3 * Width)], Width, window, flip: false, new Random(1)).Should()
            .OnlyContain(value => value == 255);
    }

    // A part with its margin by chance, and rubbish there.
    private static byte[] Resampled(byte[] pixels, int width, ImageWindow window, bool flip, Random random)
    {
        var resampling = new Resampling(window);
        int left = random.Next(resampling.Needed.Left + 1), stride = resampling.Needed.Right - left + random.Next(3);
        byte[] part = [.. Pixels(random, 2 * resampling.Needed.Height * stride).AsSpan(0, 4 * resampling.Needed.Height * stride)];
        for (int y = 0; y < resampling.Needed.Height; y++)
        {
            for (int x = resampling.Needed.Left; x < resampling.Needed.Right; x++)
            {
                pixels.AsSpan(3 * ((width * (resampling.Needed.Top + y)) + x), 3).CopyTo(part.AsSpan(4 * ((y * stride) + x - left)));
            }
        }

        var planes = new byte[3 * window.SideY * window.SideX];
        resampling.Run(part.AsSpan(4 * (resampling.Needed.Left - left)), 4 * stride, flip, planes);
        return planes;
    }

    // Many of them black or white.
    private static byte[] Pixels(Random random, int count)
    {
        var pixels = new byte[3 * count];
        random.NextBytes(pixels);
        for (int k = random.Next(2); k < pixels.Length; k += 1 + random.Next(6))
        {
            pixels[k] = pixels[k] < 128 ? byte.MinValue : byte.MaxValue;
        }

        return pixels;
    }
}
