using System.Text.RegularExpressions;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>Holds a computation against a golden file, value by value; at the end it says how far off each quantity is, and what nobody compared.</summary>
/// <param name="golden">The file.</param>
/// <param name="quantityOf">The quantity that a key belongs to; by default all that differs by iteration, half, exit or parameter only is one.</param>
internal sealed partial class GoldenComparison(GoldenFile golden, Func<string, string>? quantityOf = null)
{
    /// <summary>The largest relative error that counts as equal, in float64.</summary>
    public const double Tolerance = 1e-8;

    private readonly Func<string, string> _quantityOf = quantityOf ?? Quantity;
    private readonly Dictionary<string, (double Error, double Tolerance)> _errors = [];

    /// <summary>Runs a comparison; where it breaks off, what was compared until then stands, and a failure beside it.</summary>
    /// <param name="golden">The file.</param>
    /// <param name="isInput">Which keys are no results.</param>
    /// <param name="compare">Compares.</param>
    /// <param name="quantityOf">The quantity that a key belongs to.</param>
    /// <exception cref="NotCoveredException">The file asks for what nothing here computes.</exception>
    public static VerifiedQuantity[] Run(
        GoldenFile golden, Func<string, bool> isInput, Action<GoldenComparison> compare, Func<string, string>? quantityOf = null)
    {
        var comparison = new GoldenComparison(golden, quantityOf);
        try
        {
            compare(comparison);
            return [.. comparison.Compared(), .. comparison.Left(isInput)];
        }
        catch (Exception e) when (e is not NotCoveredException)
        {
            return [.. comparison.Compared(), VerifiedQuantity.BrokenOff(golden.Name, e)];
        }
    }

    /// <summary>Compares a tensor with PREFIX/NAME, whole or as sample and sums.</summary>
    public void Check(string key, Tensor actual, double tolerance = Tolerance) => CheckError(key, golden.Error(key, actual), tolerance);

    /// <summary>Compares a number.</summary>
    public void Check(string key, double actual, double tolerance = Tolerance)
    {
        using Tensor scalar = tensor(actual, float64);
        Check(key, scalar, tolerance);
    }

    /// <summary>Takes an error that was found otherwise.</summary>
    public void CheckError(string key, double error, double tolerance = Tolerance)
        => _errors[key] = (Math.Max(_errors.GetValueOrDefault(key).Error, error), tolerance);

    /// <summary>Each quantity with its largest error.</summary>
    private IEnumerable<VerifiedQuantity> Compared()
    {
        foreach (var quantity in _errors.GroupBy(entry => (Name: _quantityOf(entry.Key), entry.Value.Tolerance)))
        {
            // Max of doubles would pass over NaN.
            double error = quantity.Select(entry => entry.Value.Error).Aggregate(0.0, Math.Max);
            yield return VerifiedQuantity.Compared(golden.Name, quantity.Key.Name, error, quantity.Key.Tolerance);
        }
    }

    /// <summary>Results of the file that nobody compared.</summary>
    private IEnumerable<VerifiedQuantity> Left(Func<string, bool> isInput)
    {
        var left = golden.WholeKeys.Where(key => !isInput(key) && !_errors.ContainsKey(key));
        foreach (var quantity in left.GroupBy(_quantityOf))
        {
            yield return VerifiedQuantity.NotCovered(golden.Name, quantity.Key, $"{golden.Name} has '{quantity.First()}', which nothing here computes");
        }
    }

    private static string Quantity(string key)
    {
        string[] parts = IterationOrHalf().Replace(key, "").Split('/');
        return parts[0] is "epoch" ? string.Join('/', parts) : parts[0];
    }

    [GeneratedRegex("^it[0-9]+/(half[01]/)?")]
    private static partial Regex IterationOrHalf();
}
