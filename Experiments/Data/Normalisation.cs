namespace Imta.MetaWeight.Experiments.Data;

/// <summary>Maps image bytes to the network's input: x = (byte / 255 − mean) / std, by channel.</summary>
/// <param name="Mean">For red, green, blue, in units of full brightness.</param>
/// <param name="Std">For red, green, blue, in units of full brightness.</param>
internal sealed record Normalisation(IReadOnlyList<double> Mean, IReadOnlyList<double> Std)
{
    /// <summary>CIFAR-10, as in the published MSDNet and L2W-DEN code.</summary>
    public static Normalisation Cifar10 { get; } = new([0.4914, 0.4824, 0.4467], [0.2471, 0.2435, 0.2616]);

    /// <summary>CIFAR-100, as in the published MSDNet and L2W-DEN code.</summary>
    public static Normalisation Cifar100 { get; } = new([0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]);

    /// <summary>ImageNet, as in torchvision and the published MSDNet code.</summary>
    public static Normalisation ImageNet { get; } = new([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

    /// <summary>Generated images.</summary>
    public static Normalisation Generated { get; } = new([0.5, 0.5, 0.5], [0.25, 0.25, 0.25]);

    /// <summary>
    /// The mean and standard deviation of images, to four decimals; the deviation is at least one level of brightness (of 255).
    /// </summary>
    /// <param name="images">uint8 [N, 3, H, W].</param>
    public static Normalisation FromImages(Tensor images)
    {
        const int Levels = 255, Chunk = 1000;
        using var scope = NewDisposeScope();
        Tensor sums = zeros(2, 3, ScalarType.Int64); // exact: the same in any order
        for (long start = 0; start < images.size(0); start += Chunk)
        {
            using var inner = NewDisposeScope();
            Tensor part = images.narrow(0, start, Math.Min(Chunk, images.size(0) - start)).to_type(ScalarType.Int64);
            sums.add_(stack([part.sum([0, 2, 3]), (part * part).sum([0, 2, 3])]), One);
        }

        double[] total = sums.to_type(ScalarType.Float64).div(Held((double)(images.numel() / 3))).view(-1).ToArray<double>();
        double[] mean = total[..3];
        IEnumerable<double> std = mean.Zip(total[3..], (m, square) => Math.Sqrt(Math.Max(1, square - (m * m))));
        return new([.. mean.Select(Share)], [.. std.Select(Share)]);

        static double Share(double level) => Math.Round(level / Levels, 4);
    }

    /// <summary>Normalised images, on the images' device.</summary>
    /// <param name="images">uint8 [N, 3, H, W].</param>
    /// <param name="type">The element type of the result.</param>
    public Tensor Apply(Tensor images, ScalarType type = ScalarType.Float32)
    {
        using var scope = NewDisposeScope();
        var device = images.device;
        var mean = tensor(Mean.ToArray(), [3, 1, 1], type, device);
        var std = tensor(Std.ToArray(), [3, 1, 1], type, device);
        Tensor numbers = images.to_type(type);
        foreach (Func<Tensor, Tensor> next in (Func<Tensor, Tensor>[])[x => x.div(Held(255)), x => x - mean, x => x / std])
        {
            using Tensor before = numbers; // batches of images are large: dispose intermediates early
            numbers = next(before);
        }

        return numbers.MoveToOuterDisposeScope();
    }
}
