namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// Images in CIFAR's format, generated from a seed, with known difficulty: for a first run without a download, and to see whether
/// learned weights find the hard images.
/// </summary>
/// <remarks>
/// A class is a coloured grating: its orientation and frequency are unique, its colour is shared with other classes; where the grating
/// begins (the phase) is random, so no single pixel identifies the class. With difficulty d the image is
/// <c>½ + a(d)·[(1 − b(d))·own + b(d)·other] + s(d)·noise</c>, all linear in d: contrast a falls from 0.30 to 0.04, the share b of
/// another class's grating rises from 0 to 0.45 (below ½, so the label stays correct), the noise's standard deviation s from 0.05 to
/// 0.25. All orientations lie in one quadrant, so a mirrored image does not belong to another class.
/// </remarks>
internal static class GeneratedImages
{
    /// <summary>The number of training images of <c>data.dataset: generated</c>.</summary>
    public const int TrainImages = 4000;

    /// <summary>The number of test images of <c>data.dataset: generated</c>.</summary>
    public const int TestImages = 1000;

    /// <summary>The number of classes of <c>data.dataset: generated</c>.</summary>
    public const int Classes = 10;

    /// <summary>Images below this difficulty are easy, the others hard.</summary>
    public const double HardThreshold = 0.5;

    /// <summary>
    /// The share of easy images, in each class. Among the easy ones difficulty is uniform in [0, ½), among the hard ones in [½, 1).
    /// </summary>
    public const double EasyShare = 0.6;

    private const int Colours = 5;
    private const int Pixels = ImageSet.Side * ImageSet.Side;

    // Images generated at once: float intermediates stay at about ten megabytes.
    private const int Chunk = 500;

    /// <summary>
    /// Generates a set. Classes are equally frequent, and in each the share of easy images is <see cref="EasyShare"/>, both to within one
    /// image.
    /// </summary>
    /// <param name="count">The number N of images.</param>
    /// <param name="classes">The number C of classes, at least 2.</param>
    /// <param name="random">The random generator; the same state gives the same images.</param>
    public static ImageSet Make(int count, int classes, Generator random)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 2);
        using var scope = NewDisposeScope();
        var (labels, difficulty) = LabelsAndDifficulty(count, classes, random);
        var (gratings, colours) = Patterns(classes);
        var images = empty([count, 3, ImageSet.Side, ImageSet.Side], ScalarType.Byte);
        for (int start = 0; start < count; start += Chunk)
        {
            using var part = NewDisposeScope();
            int length = Math.Min(Chunk, count - start);
            var own = labels.narrow(0, start, length);
            var other = OtherClass(own, classes, random);
            var d = difficulty.narrow(0, start, length).view(length, 1, 1);
            var blend = d.mul(Held(0.45));
            var light = Draw(own, gratings, colours, random).mul_(blend.neg().add(Held(1), One)); // [n, 3, 1024]
            light.add_(Draw(other, gratings, colours, random).mul_(blend), One).mul_(d.mul(Held(-0.26)).add(Held(0.30), One));
            var noise = randn([length, 3, Pixels], generator: random).mul_(d.mul(Held(0.20)).add(Held(0.05), One));
            light.add_(Held(0.5), One).add_(noise, One);
            var bytes = light.mul_(Held(255)).add_(Held(0.5), One).clamp_(Held(0), Held(255)).to_type(ScalarType.Byte);
            images.narrow(0, start, length).copy_(bytes.view(length, 3, ImageSet.Side, ImageSet.Side));
        }

        string[] names = [.. Enumerable.Range(0, classes).Select(c => $"pattern_{c}")];
        return new ImageSet(images, labels, arange(Held(0), Held(count), One, ScalarType.Int64), names, difficulty);
    }

    // In each class the difficulties are evenly spaced, so shares are exact; they are assigned in random order.
    private static (Tensor Labels, Tensor Difficulty) LabelsAndDifficulty(int count, int classes, Generator random)
    {
        using var scope = NewDisposeScope();
        long[] places = randperm(count, ScalarType.Int64, generator: random).ToArray<long>();
        var labels = Array.ConvertAll(places, place => place % classes);
        var difficulty = Array.ConvertAll(places, place =>
        {
            long inClass = (count - (place % classes) + classes - 1) / classes;
            double level = ((place / classes) + 0.5) / inClass;
            return (float)(level < EasyShare
                ? HardThreshold * level / EasyShare
                : HardThreshold + ((1 - HardThreshold) * (level - EasyShare) / (1 - EasyShare)));
        });
        return (tensor(labels).MoveToOuterDisposeScope(), tensor(difficulty).MoveToOuterDisposeScope());
    }

    // Gratings [C, 2, 1024]: a wave and the same wave shifted by a quarter period, whose mixtures give any phase; colours [C, 3].
    private static (Tensor Gratings, Tensor Colours) Patterns(int classes)
    {
        using var scope = NewDisposeScope();
        var across = new double[classes];
        var down = new double[classes];
        var colours = new double[classes * 3];
        for (int c = 0; c < classes; c++)
        {
            // Multiples of irrational numbers are evenly spread for any number of classes.
            double angle = Math.PI / 2 * Fraction((c + 0.5) * 0.6180339887498949);
            double waves = 2.5 + (4 * Fraction((c + 0.5) * 1.4142135623730951));
            across[c] = waves * Math.Cos(angle);
            down[c] = waves * Math.Sin(angle);
            for (int channel = 0; channel < 3; channel++)
            {
                colours[(c * 3) + channel] = 0.6 + (0.4 * Math.Cos(2 * Math.PI * (((double)(c % Colours) / Colours) + (channel / 3.0))));
            }
        }

        var (cosX, sinX) = Waves(across);
        var (cosY, sinY) = Waves(down);
        var (x, y) = (2, 1); // [C, 32] to [C, 1, 32] and [C, 32, 1]: their product is [C, row, column]
        var wave = (cosY.unsqueeze(x) * cosX.unsqueeze(y)) - (sinY.unsqueeze(x) * sinX.unsqueeze(y));
        var quarter = (sinY.unsqueeze(x) * cosX.unsqueeze(y)).add(cosY.unsqueeze(x) * sinX.unsqueeze(y), One);
        var gratings = stack([wave.view(classes, Pixels), quarter.view(classes, Pixels)], 1);
        return (gratings.MoveToOuterDisposeScope(), tensor(colours, [classes, 3], ScalarType.Float32).MoveToOuterDisposeScope());
    }

    // Cosine and sine along a side, [C, 32] each; waves: how many fit into it, for each class.
    private static (Tensor Cos, Tensor Sin) Waves(double[] waves)
    {
        double[] angles = [.. waves.SelectMany(w => Enumerable.Range(0, ImageSet.Side).Select(i => 2 * Math.PI * w * i / ImageSet.Side))];
        long[] shape = [waves.Length, ImageSet.Side];
        return (
            tensor(Array.ConvertAll(angles, Math.Cos), shape, ScalarType.Float32),
            tensor(Array.ConvertAll(angles, Math.Sin), shape, ScalarType.Float32));
    }

    // Patterns [n, 3, 1024] of the classes [n], in −1 … 1, each with its own phase.
    private static Tensor Draw(Tensor classes, Tensor gratings, Tensor colours, Generator random)
    {
        using var scope = NewDisposeScope();
        var direction = randn([classes.NumberOfElements, 2, 1], generator: random);
        var phase = direction / direction.pow(Held(2)).sum(1, keepdim: true).sqrt(); // (cos, sin) of a uniform angle
        var grating = (gratings.index_select(0, classes) * phase).sum(1, keepdim: true); // [n, 1, 1024]
        return (colours.index_select(0, classes).unsqueeze(2) * grating).MoveToOuterDisposeScope();
    }

    // A class other than the image's own, each equally likely: its own plus 1 … C − 1 (modulo C).
    private static Tensor OtherClass(Tensor own, int classes, Generator random)
    {
        using var scope = NewDisposeScope();
        var further = own.add(randint(1, classes, own.shape, ScalarType.Int64, generator: random), One);
        return where(further.ge(Held(classes)), further.sub(Held(classes)), further).MoveToOuterDisposeScope();
    }

    private static double Fraction(double value) => value - Math.Floor(value);
}
