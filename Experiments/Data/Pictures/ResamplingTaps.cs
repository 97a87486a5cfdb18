namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>
/// For each output position of a resampled line, its inputs and weights: the same number for each position, some with weight zero.
/// </summary>
internal sealed class ResamplingTaps
{
    /// <summary>Fractional bits of a weight.</summary>
    public const int Bits = 22;

    private readonly int[] _first;
    private readonly int[] _weights; // [places, _count]
    private readonly int _count;

    /// <param name="input">The length of the input line.</param>
    /// <param name="output">The length of the resampled line.</param>
    /// <param name="start">The first output position to compute.</param>
    /// <param name="places">The number of positions to compute.</param>
    public ResamplingTaps(int input, int output, int start, int places)
    {
        double scale = (double)input / output, support = Math.Max(scale, 1);
        (int Low, int High)[] ranges = [.. Enumerable.Range(start, places).Select(index => Range(Centre(index), support, input))];
        _count = ranges.Max(range => range.High - range.Low);
        _first = [.. ranges.Select(range => Math.Min(range.Low, input - _count))];
        _weights = new int[places * _count];
        Span<double> exact = new double[_count];
        for (int index = 0; index < places; index++)
        {
            (int low, int high) = ranges[index];
            Weigh(low, Centre(start + index), support, exact[..(high - low)]);
            for (int k = low; k < high; k++)
            {
                _weights[(index * _count) + k - _first[index]] = (int)(0.5 + (exact[k - low] * (1 << Bits)));
            }
        }

        double Centre(int index) => (index + 0.5) * scale;
    }

    /// <summary>The first input used.</summary>
    public int Low => _first[0];

    /// <summary>One past the last input used.</summary>
    public int High => _first[^1] + _count;

    /// <summary>The first input of a position.</summary>
    public int First(int index) => _first[index];

    /// <summary>The input weights of a position.</summary>
    public ReadOnlySpan<int> Weights(int index) => _weights.AsSpan(index * _count, _count);

    /// <summary>
    /// The weights of all positions, each repeated <paramref name="times"/> times, zero-padded per position to a multiple.
    /// </summary>
    public int[] ForAll(int times, int multiple)
    {
        int places = _first.Length, stride = ((times * _count) + multiple - 1) / multiple * multiple;
        var weights = new int[places * stride];
        for (int index = 0; index < places; index++)
        {
            for (int k = 0; k < _count; k++)
            {
                weights.AsSpan((index * stride) + (times * k), times).Fill(_weights[(index * _count) + k]);
            }
        }

        return weights;
    }

    private static (int Low, int High) Range(double centre, double support, int input)
        => (Math.Max((int)(centre - support + 0.5), 0), Math.Min((int)(centre + support + 0.5), input));

    private static void Weigh(int low, double centre, double support, Span<double> weights)
    {
        double sum = 0;
        for (int k = 0; k < weights.Length; k++)
        {
            weights[k] = Math.Max(0, 1 - Math.Abs((low + k - centre + 0.5) / support));
            sum += weights[k];
        }

        for (int k = 0; k < weights.Length; k++)
        {
            weights[k] /= sum;
        }
    }
}
