using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Msd;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>
/// The published MSDNet for CIFAR written down once more by libtorch's functions alone, over a state dictionary with the published names.
/// What the first forward pass finds missing there is drawn, so the names and shapes are this class's too.
/// </summary>
/// <param name="options">Its shape.</param>
/// <param name="classes">The number of classes.</param>
/// <param name="type">The element type of what is drawn.</param>
/// <param name="random">Draws it.</param>
/// <param name="headChannels">Channels of the classifiers' convolutions.</param>
internal sealed class PlainMsdNet(MsdNetOptions options, int classes, ScalarType type, Generator random, long headChannels = 128)
{
    private readonly long[] _factors = [.. options.GrowthFactors.Select(factor => (long)factor)];
    private bool _training;

    public Dictionary<string, Tensor> State { get; } = [];

    /// <summary>Multiply-adds of an image up to each exit, by the published counter's rule, of the last forward pass.</summary>
    public List<long> Macs { get; } = [];

    private long Counted { get; set; }

    /// <summary>The logits of every exit; in training with the batch's statistics, by which the running ones move.</summary>
    public Tensor[] Forward(Tensor images, bool training)
    {
        (_training, Counted) = (training, 0);
        Macs.Clear();
        int[] steps = [.. Enumerable.Range(0, options.Blocks).Select(i =>
            i == 0 ? options.Base : options.StepMode == StepMode.Even ? options.Step : (options.Step * i) + 1)];
        int all = steps.Sum(), number = 0;
        long channels = options.Channels;
        Tensor[] scales = [images];
        var logits = new List<Tensor>();
        for (int block = 0; block < steps.Length; block++)
        {
            int part = 0;
            if (block == 0)
            {
                scales = First($"blocks.0.{part++}", images);
            }

            for (int step = 0; step < steps[block]; step++)
            {
                number++;
                (int before, int after) = Scales(number, all);
                scales = Layer($"blocks.{block}.{part++}", scales, before, after);
                channels += options.Growth;
                bool third = number == all / 3 || number == 2 * all / 3;
                if (options.Reduction > 0 && (options.Prune == Prune.Max ? before > after : third))
                {
                    channels = (long)Math.Floor(options.Reduction * channels);
                    string name = $"blocks.{block}.{part++}";
                    scales = [.. scales.Select((x, i) => Unit($"{name}.m.{i}.net.0", x, channels * _factors[^(after - i)], 1, 1))];
                }
            }

            logits.Add(Head($"classifier.{block}", scales[^1]));
            Macs.Add(Counted);
        }

        return [.. logits];
    }

    private (int Before, int After) Scales(int number, int all)
    {
        int most = _factors.Length;
        if (options.Prune == Prune.Min)
        {
            return (Math.Min(most, all - number + 2), Math.Min(most, all - number + 1));
        }

        int interval = (int)Math.Ceiling((double)all / most);
        return (most - (Math.Max(0, number - 2) / interval), most - ((number - 1) / interval));
    }

    private Tensor[] First(string name, Tensor images)
    {
        var scales = new List<Tensor>();
        Tensor x = images;
        for (int s = 0; s < _factors.Length; s++)
        {
            scales.Add(x = Unit($"{name}.layers.{s}.net.0", x, options.Channels * _factors[s], 3, s == 0 ? 1 : 2));
        }

        return [.. scales];
    }

    private Tensor[] Layer(string name, Tensor[] scales, int before, int after)
    {
        var outputs = new List<Tensor>();
        int offset = _factors.Length - after;
        for (int i = 0; i < after; i++)
        {
            int own = before > after ? i + 1 : i, scale = offset + i;
            long added = options.Growth * _factors[scale];
            string part = $"{name}.layers.{i}";
            outputs.Add(own == 0
                ? cat([scales[0], Chain($"{part}.conv_normal", scales[0], added, scale, 1)], 1)
                : cat(
                    [
                        scales[own],
                        Chain($"{part}.conv_down", scales[own - 1], added / 2, scale - 1, 2),
                        Chain($"{part}.conv_normal", scales[own], added / 2, scale, 1),
                    ],
                    1));
        }

        return [.. outputs];
    }

    private Tensor Chain(string name, Tensor x, long output, int scale, long stride)
    {
        if (!options.Bottleneck)
        {
            return Unit($"{name}.net.0", x, output, 3, stride);
        }

        long inner = Math.Min(x.shape[1], options.BottleneckFactors[scale] * output);
        return Unit($"{name}.net.3", Unit($"{name}.net.0", x, inner, 1, 1), output, 3, stride);
    }

    private Tensor Head(string name, Tensor x)
    {
        x = Unit($"{name}.m.0.net.0", x, headChannels, 3, 2);
        x = Unit($"{name}.m.1.net.0", x, headChannels, 3, 2);
        x = nn.functional.avg_pool2d(x, 2);
        Counted += x[0].numel() * 4;
        Tensor weight = Draw($"{name}.linear.weight", 0.1, 0, classes, headChannels), bias = Draw($"{name}.linear.bias", 0.1, 0, classes);
        Counted += weight.numel() + bias.numel();
        return x.flatten(1).matmul(weight.t()).add(bias, One);
    }

    /// <summary>Convolution, batch norm, ReLU; the batch norm's index is the one after the convolution's.</summary>
    private Tensor Unit(string name, Tensor x, long output, long kernel, long stride)
    {
        string norm = name[..^1] + (name[^1] - '0' + 1);
        Tensor weight = Draw($"{name}.weight", 0.3, 0, output, x.shape[1], kernel, kernel);
        x = nn.functional.conv2d(x, weight, null, [stride, stride], [kernel / 2, kernel / 2]);
        Counted += (weight.numel() * x.shape[2] * x.shape[3]) + x[0].numel();
        Tensor scale = Draw($"{norm}.weight", 0.1, 1, output), shift = Draw($"{norm}.bias", 0.1, 0, output);
        Tensor mean = Draw($"{norm}.running_mean", 0.1, 0, output), variance = Draw($"{norm}.running_var", 0.1, 1, output);
        State.TryAdd($"{norm}.num_batches_tracked", zeros([], int64));
        if (_training)
        {
            State[$"{norm}.num_batches_tracked"] = State[$"{norm}.num_batches_tracked"].add(Held(1), One);
        }

        return nn.functional.batch_norm(x, mean, variance, scale, shift, _training, 0.1, 1e-5).relu();
    }

    private Tensor Draw(string name, double spread, double centre, params long[] shape)
    {
        if (!State.TryGetValue(name, out Tensor? value))
        {
            bool learned = !name.Contains("running", StringComparison.Ordinal);
            Tensor drawn = randn(shape, float32, generator: random).clamp(Held(-3), Held(3));
            Tensor moved = drawn.mul(Held(spread)).add(Held(centre), One); // exact in either type
            State[name] = value = moved.to_type(type).requires_grad_(learned);
        }

        return value;
    }
}
