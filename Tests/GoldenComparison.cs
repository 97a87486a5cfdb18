namespace Imta.MetaWeight.Tests;

/// <summary>Holds a computation against a golden file, value by value; at the end it names what differs, and what nobody compared.</summary>
public sealed class GoldenComparison(GoldenFile golden)
{
    private readonly Dictionary<string, double> _errors = [];

    /// <summary>The largest relative error so far and where it was, for the test's output.</summary>
    public override string ToString()
    {
        KeyValuePair<string, double> worst = _errors.MaxBy(entry => entry.Value);
        return $"{golden.Name}: {_errors.Count} values compared, the largest relative error is {worst.Value:g3} ({worst.Key})";
    }

    /// <summary>Compares a tensor with PREFIX/NAME, whole or as sample and sums.</summary>
    public void Check(string key, Tensor actual) => _errors[key] = Math.Max(_errors.GetValueOrDefault(key), golden.Error(key, actual));

    /// <summary>Compares a number.</summary>
    public void Check(string key, double actual)
    {
        using Tensor scalar = tensor(actual);
        Check(key, scalar);
    }

    /// <summary>Asserts that everything compared is equal, and that everything in the file was compared but for what went in.</summary>
    /// <param name="isInput">Which keys are no results.</param>
    public void ShouldHold(Func<string, bool> isInput)
    {
        _errors.Where(entry => !(entry.Value <= GoldenFile.Tolerance)).Select(entry => $"{entry.Key}: {entry.Value:g3}")
            .Should().BeEmpty($"no value of {golden.Name} may differ by more than {GoldenFile.Tolerance:g3}");
        golden.Keys.Select(key => key.Replace("_sample/", "/", StringComparison.Ordinal).Replace("_stat/", "/", StringComparison.Ordinal))
            .Where(key => !isInput(key)).Except(_errors.Keys).Should().BeEmpty($"every result in {golden.Name} is compared");
    }
}
