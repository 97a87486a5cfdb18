using System.Collections;
using TorchSharp.PyBridge;

namespace Imta.MetaWeight.Tests;

/// <summary>
/// Numbers that the published implementations computed: a flat dictionary of float64 and int64 tensors. Big results are stored as
/// <c>PREFIX_sample/NAME</c> and <c>PREFIX_stat/NAME</c> in place of <c>PREFIX/NAME</c>; <see cref="Compare"/> knows all three.
/// The file owns its tensors, whatever dispose scope is open.
/// </summary>
public sealed class GoldenFile : IDisposable
{
    /// <summary>The largest relative error that counts as equal, in float64.</summary>
    public const double Tolerance = 1e-8;

    // Below this a reference value counts as zero, so that 0 against 0 has error 0.
    private const double Tiny = 1e-300;

    private readonly Dictionary<string, Tensor> _tensors;

    private GoldenFile(string name, Dictionary<string, Tensor> tensors) => (Name, _tensors) = (name, tensors);

    /// <summary>The file's name.</summary>
    public string Name { get; }

    /// <summary>All keys, sorted.</summary>
    public IEnumerable<string> Keys => _tensors.Keys.Order(StringComparer.Ordinal);

    /// <summary>The tensor of a key.</summary>
    /// <exception cref="KeyNotFoundException">No such key.</exception>
    public Tensor this[string key]
        => _tensors.TryGetValue(key, out Tensor? tensor) ? tensor : throw new KeyNotFoundException($"{Name} has no '{key}'.");

    /// <summary>Opens a golden file; skips the test when the file is not there.</summary>
    /// <param name="name">The name, with its folder if any: <c>allocation.pt</c>, <c>pytorch_files/views_expected.pt</c>.</param>
    public static GoldenFile Open(string name)
    {
        Hashtable contents = PyTorchUnpickler.UnpickleStateDict(Find(name));
        return new GoldenFile(name, contents.Keys.Cast<string>().ToDictionary(key => key, key => ((Tensor)contents[key]!).DetachFromDisposeScope()));
    }

    /// <summary>The path of a golden file: in <c>Tests/Golden</c>, or in the folder that IMTA_GOLDEN names; without it the test is skipped.</summary>
    public static string Find(string name)
    {
        string own = Path.Combine(AppContext.BaseDirectory, "Golden", name);
        string given = Path.Combine(Environment.GetEnvironmentVariable("IMTA_GOLDEN") ?? "", name);
        Skip.IfNot(
            File.Exists(own) || File.Exists(given),
            $"{Path.GetFileName(name)} is not in Tests/Golden: set IMTA_GOLDEN to the folder of the golden numbers");
        return File.Exists(own) ? own : given;
    }

    /// <summary>Whether there is a tensor of this key.</summary>
    public bool Contains(string key) => _tensors.ContainsKey(key);

    /// <summary>NAME of each key <c>PREFIX/NAME</c>, sorted; NAME may have slashes of its own.</summary>
    public IEnumerable<string> KeysUnder(string prefix)
        => Keys.Where(key => key.StartsWith(prefix + "/", StringComparison.Ordinal)).Select(key => key[(prefix.Length + 1)..]);

    /// <summary>NAME of each tensor that is under PREFIX whole, as a sample or as sums; sorted.</summary>
    public IEnumerable<string> Names(string prefix)
        => KeysUnder(prefix).Union(KeysUnder(prefix + "_sample")).Union(KeysUnder(prefix + "_stat")).Order(StringComparer.Ordinal);

    /// <summary>The integer of a key.</summary>
    public long Int(string key) => this[key].item<long>();

    /// <summary>The real number of a key.</summary>
    public double Real(string key) => this[key].item<double>();

    /// <summary>
    /// Asserts that a tensor is the golden one: against <c>PREFIX/NAME</c>, or against what there is of <c>PREFIX_sample/NAME</c> and
    /// <c>PREFIX_stat/NAME</c>.
    /// </summary>
    /// <param name="key">PREFIX/NAME.</param>
    /// <param name="actual">What was computed, of any type and device.</param>
    /// <param name="tolerance">The largest relative error, as <see cref="Error"/> has it.</param>
    public void Compare(string key, Tensor actual, double tolerance = Tolerance)
    {
        double error = Error(key, actual);
        (error <= tolerance).Should().BeTrue($"{key} of {Name} has a relative error of {error:g3}, and {tolerance:g3} is allowed");
    }

    /// <summary>As <see cref="Compare(string, Tensor, double)"/> for a number.</summary>
    public void Compare(string key, double actual, double tolerance = Tolerance)
    {
        using Tensor scalar = tensor(actual);
        Compare(key, scalar, tolerance);
    }

    /// <summary>The relative error of a tensor: <see cref="RelativeError"/> of the whole, or the largest of the sample's and the four sums'.</summary>
    /// <param name="key">PREFIX/NAME.</param>
    /// <param name="actual">What was computed.</param>
    /// <exception cref="KeyNotFoundException">The file has it in no form.</exception>
    public double Error(string key, Tensor actual)
    {
        double[] values = Values(actual);
        if (Contains(key))
        {
            actual.shape.Should().Equal(this[key].shape, $"of {key} in {Name}");
            return RelativeError(values, Values(this[key]));
        }

        int slash = key.LastIndexOf('/');
        (string prefix, string name) = (key[..Math.Max(slash, 0)], key[slash..]);
        (string sample, string stat) = ($"{prefix}_sample{name}", $"{prefix}_stat{name}");
        if (!Contains(sample) && !Contains(stat))
        {
            throw new KeyNotFoundException($"{Name} has no '{key}', neither whole nor as a sample or sums.");
        }

        double ofSample = Contains(sample) ? SampleError(values, Values(this[sample])) : 0;
        double ofSums = Contains(stat) ? SumsError(values, Values(this[stat])) : 0;
        return Math.Max(ofSample, ofSums);
    }

    /// <summary>max |a − b| / max |b|: the largest difference relative to the largest reference value; NaN when a value is.</summary>
    /// <param name="actual">a.</param>
    /// <param name="expected">b, the reference.</param>
    public static double RelativeError(IReadOnlyList<double> actual, IReadOnlyList<double> expected)
    {
        actual.Count.Should().Be(expected.Count);
        if (expected.Count == 0)
        {
            return 0;
        }

        double difference = actual.Zip(expected, (a, b) => a == b ? 0 : Math.Abs(a - b)).Aggregate(Math.Max);
        return difference / Math.Max(expected.Max(Math.Abs), Tiny);
    }

    public void Dispose()
    {
        foreach (Tensor tensor in _tensors.Values)
        {
            tensor.Dispose();
        }
    }

    private static double[] Values(Tensor tensor)
    {
        using Tensor detached = tensor.detach();
        using Tensor real = detached.to_type(ScalarType.Float64);
        return real.data<double>().ToArray();
    }

    // Elements 0, s, 2s, … of the flattened tensor, s = numel / n.
    private static double SampleError(double[] values, double[] sample)
    {
        int step = values.Length / sample.Length;
        step.Should().BePositive("a sample is no longer than its tensor");
        return RelativeError([.. Enumerable.Range(0, sample.Length).Select(k => values[k * step])], sample);
    }

    // [Σt, Σt², Σ|t|, Σ t_i·cos i]. Sums of mixed signs cancel, so they are held against Σ|t|.
    private static double SumsError(double[] values, double[] expected)
    {
        expected.Should().HaveCount(4);
        double sum = values.Sum();
        double squares = values.Sum(value => value * value);
        double absolute = values.Sum(Math.Abs);
        double waves = values.Select((value, i) => value * Math.Cos(i)).Sum();
        return Math.Max(RelativeError([sum, absolute, waves], [expected[0], expected[2], expected[3]]), RelativeError([squares], [expected[1]]));
    }
}
