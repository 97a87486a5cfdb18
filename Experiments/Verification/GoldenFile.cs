using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// Reference results of the published implementations: a flat dictionary of float64 and int64 tensors. Large results are stored as
/// <c>PREFIX_sample/NAME</c> and <c>PREFIX_stat/NAME</c> instead of <c>PREFIX/NAME</c>; <see cref="Error(string, Tensor)"/> handles
/// all three. The file owns its tensors, independently of the current dispose scope.
/// </summary>
internal sealed partial class GoldenFile : IDisposable
{
    // The least denominator of a relative error, so that 0 versus 0 has error 0.
    private const double Tiny = 1e-300;

    private readonly Dictionary<string, Tensor> _tensors;

    private GoldenFile(string name, Dictionary<string, Tensor> tensors) => (Name, _tensors) = (name, tensors);

    /// <summary>The file's name.</summary>
    public string Name { get; }

    /// <summary>All keys, sorted.</summary>
    public IEnumerable<string> Keys => _tensors.Keys.Order(StringComparer.Ordinal);

    /// <summary>All keys, sorted; a sample or sums are listed under the key of the full tensor.</summary>
    public IEnumerable<string> LogicalKeys => Keys.Select(key => SampleOrSums().Replace(key, "/")).Distinct();

    /// <summary>The tensor of a key.</summary>
    /// <exception cref="KeyNotFoundException">No such key.</exception>
    public Tensor this[string key]
        => _tensors.TryGetValue(key, out Tensor? tensor) ? tensor : throw new KeyNotFoundException($"{Name} has no '{key}'");

    /// <summary>Reads a file.</summary>
    /// <param name="path">A PyTorch file in zip format.</param>
    /// <param name="device">The device of its tensors; null: the CPU.</param>
    public static GoldenFile Open(string path, Device? device = null)
    {
        using DisposeScope scope = NewDisposeScope();
        Dictionary<string, Tensor> tensors = TorchFileReader.Read(path).Tensors();
        return new GoldenFile(
            Path.GetFileName(path),
            tensors.ToDictionary(entry => entry.Key, entry => entry.Value.to(device ?? CPU).DetachFromDisposeScope()));
    }

    public bool Contains(string key) => _tensors.ContainsKey(key);

    /// <summary>NAME of each key <c>PREFIX/NAME</c>, sorted; NAME may contain slashes.</summary>
    public IEnumerable<string> KeysUnder(string prefix)
        => Keys.Where(key => key.StartsWith(prefix + "/", StringComparison.Ordinal)).Select(key => key[(prefix.Length + 1)..]);

    /// <summary>The integer of a key.</summary>
    public int Int(string key) => checked((int)this[key].item<long>());

    /// <summary>The integers of a key.</summary>
    public int[] Ints(string key) => [.. Values(this[key]).Select(value => (int)value)];

    /// <summary>The floating-point number of a key.</summary>
    public double Real(string key) => this[key].item<double>();

    /// <summary>
    /// The relative error of a tensor: <see cref="RelativeError"/> of the full tensor, or the largest error of the sample and the four
    /// sums.
    /// </summary>
    /// <param name="key">PREFIX/NAME.</param>
    /// <param name="actual">The computed tensor, of any type and on any device.</param>
    /// <returns>Infinity if the shapes differ.</returns>
    /// <exception cref="KeyNotFoundException">The file does not contain it in any form.</exception>
    public double Error(string key, Tensor actual)
    {
        double[] values = Values(actual);
        if (Contains(key))
        {
            return actual.shape.SequenceEqual(this[key].shape) ? RelativeError(values, Values(this[key])) : double.PositiveInfinity;
        }

        (Tensor? sample, Tensor? stat) = (PartOf(key, "_sample"), PartOf(key, "_stat"));
        if (sample is null && stat is null)
        {
            throw new KeyNotFoundException($"{Name} has no '{key}', neither whole nor as a sample or sums");
        }

        double ofSample = sample is null ? 0 : SampleError(values, Values(sample));
        double ofSums = stat is null ? 0 : SumsError(values, Values(stat));
        return Math.Max(ofSample, ofSums);
    }

    /// <summary>
    /// max |a − b| / max |b|: the largest difference relative to the largest finite reference value; NaN if any value is NaN.
    /// </summary>
    /// <param name="actual">a.</param>
    /// <param name="expected">b, the reference.</param>
    /// <returns>Infinity if the lengths differ.</returns>
    public static double RelativeError(IReadOnlyList<double> actual, IReadOnlyList<double> expected)
    {
        if (actual.Count != expected.Count)
        {
            return double.PositiveInfinity;
        }

        double difference = actual.Zip(expected, (a, b) => a == b ? 0 : Math.Abs(a - b)).Aggregate(0.0, Math.Max);
        return difference / Math.Max(expected.Where(double.IsFinite).Select(Math.Abs).DefaultIfEmpty().Max(), Tiny);
    }

    /// <summary>[Σt, Σt², Σ|t|, Σ t_i·cos i], i from 0.</summary>
    public static double[] Sums(IReadOnlyList<double> values)
        => [values.Sum(), values.Sum(value => value * value), values.Sum(Math.Abs), values.Select((value, i) => value * Math.Cos(i)).Sum()];

    public static double[] Values(Tensor tensor)
    {
        using DisposeScope scope = NewDisposeScope();
        // also for an empty tensor
        return MemoryMarshal.Cast<byte, double>(tensor.detach().cpu().to_type(ScalarType.Float64).contiguous().bytes).ToArray();
    }

    /// <summary>The error of the four sums. Sums of mixed signs cancel, so they are compared relative to Σ|t|.</summary>
    public static double SumsError(IReadOnlyList<double> values, IReadOnlyList<double> expected)
    {
        double[] sums = Sums(values);
        return expected.Count != sums.Length
            ? double.PositiveInfinity
            : Math.Max(
                RelativeError([sums[0], sums[2], sums[3]], [expected[0], expected[2], expected[3]]),
                RelativeError([sums[1]], [expected[1]]));
    }

    public void Dispose()
    {
        foreach (Tensor tensor in _tensors.Values)
        {
            tensor.Dispose();
        }
    }

    // PREFIX and NAME may both contain slashes.
    private Tensor? PartOf(string key, string suffix)
        => Enumerable.Range(0, key.Length).Where(i => key[i] == '/').Select(i => _tensors.GetValueOrDefault(key.Insert(i, suffix)))
            .FirstOrDefault(part => part is not null);

    // Elements 0, s, 2s, … of the flattened tensor, s = numel / n.
    private static double SampleError(double[] values, double[] sample)
    {
        int step = values.Length / Math.Max(sample.Length, 1);
        return step == 0
            ? double.PositiveInfinity
            : RelativeError([.. Enumerable.Range(0, sample.Length).Select(k => values[k * step])], sample);
    }

    [GeneratedRegex("_(sample|stat)/")]
    private static partial Regex SampleOrSums();
}
