using System.Text.RegularExpressions;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// Compares a computation with a golden file, value by value; finally reports the error of each quantity and what was not compared.
/// </summary>
/// <param name="golden">The file.</param>
/// <param name="quantityOf">The quantity that a key belongs to; by default, keys that differ only by iteration, half, exit or parameter
/// form one quantity.</param>
internal sealed partial class GoldenComparison(GoldenFile golden, Func<string, string>? quantityOf = null)
{
    /// <summary>The tolerance: the largest accepted relative error, in float64.</summary>
    public const double Tolerance = 1e-8;

    private readonly Func<string, string> _quantityOf = quantityOf ?? Quantity;
    private readonly Dictionary<string, (double Error, double Tolerance)> _errors = [];

    /// <summary>Runs a comparison; if it aborts, the quantities compared so far are kept and a failure is added.</summary>
    /// <param name="golden">The file.</param>
    /// <param name="isInput">Which keys are inputs, not results.</param>
    /// <param name="compare">The comparison.</param>
    /// <param name="quantityOf">The quantity that a key belongs to.</param>
    /// <exception cref="NotCoveredException">The file requires something that is not implemented here.</exception>
    public static VerifiedQuantity[] Run(
        GoldenFile golden, Func<string, bool> isInput, Action<GoldenComparison> compare, Func<string, string>? quantityOf = null)
    {
        var comparison = new GoldenComparison(golden, quantityOf);
        try
        {
            compare(comparison);
            return [.. comparison.Compared(), .. comparison.NotCompared(isInput)];
        }
        catch (Exception e) when (e is not NotCoveredException)
        {
            return [.. comparison.Compared(), VerifiedQuantity.Aborted(golden.Name, e)];
        }
    }

    /// <summary>Compares a tensor with PREFIX/NAME, in full or by sample and sums.</summary>
    public void Check(string key, Tensor actual, double tolerance = Tolerance) => CheckError(key, golden.Error(key, actual), tolerance);

    /// <summary>Compares a number.</summary>
    public void Check(string key, double actual, double tolerance = Tolerance)
    {
        using Tensor scalar = tensor(actual, float64);
        Check(key, scalar, tolerance);
    }

    /// <summary>Records an error computed elsewhere.</summary>
    public void CheckError(string key, double error, double tolerance = Tolerance)
        => _errors[key] = (Math.Max(_errors.GetValueOrDefault(key).Error, error), tolerance);

    /// <summary>Each quantity with its largest error.</summary>
    private IEnumerable<VerifiedQuantity> Compared()
    {
        foreach (var quantity in _errors.GroupBy(entry => (Name: _quantityOf(entry.Key), entry.Value.Tolerance)))
        {
            // Math.Max propagates NaN; a comparison would skip it.
            double error = quantity.Select(entry => entry.Value.Error).Aggregate(0.0, Math.Max);
            yield return VerifiedQuantity.Compared(golden.Name, quantity.Key.Name, error, quantity.Key.Tolerance);
        }
    }

    /// <summary>Results in the file that were not compared.</summary>
    private IEnumerable<VerifiedQuantity> NotCompared(Func<string, bool> isInput)
    {
        var left = golden.LogicalKeys.Where(key => !isInput(key) && !_errors.ContainsKey(key));
        foreach (var quantity in left.GroupBy(_quantityOf))
        {
            yield return VerifiedQuantity.NotCovered(
                golden.Name, quantity.Key, $"{golden.Name} has '{quantity.First()}', which is not computed by this build");
        }
    }

    private static string Quantity(string key)
    {
        string[] segments = IterationOrHalf().Replace(key, "").Split('/');
        return segments[0] is "epoch" ? string.Join('/', segments) : segments[0];
    }

    [GeneratedRegex("^it[0-9]+/(half[01]/)?")]
    private static partial Regex IterationOrHalf();
}
