using Imta.MetaWeight.Experiments.Verification;

namespace Imta.MetaWeight.Tests;

/// <summary>The golden numbers, in <c>Tests/Golden</c>; its README says what they are.</summary>
internal static class GoldenFiles
{
    /// <summary>The folder.</summary>
    public static string Folder => Path.Combine(AppContext.BaseDirectory, "Golden");

    /// <summary>The path of a file, with its folder if any (<c>pytorch_files/views_zip.pt</c>).</summary>
    public static string Find(string name) => Path.Combine(Folder, name);

    /// <summary>Opens a file.</summary>
    public static GoldenFile Open(string name) => GoldenFile.Open(Find(name));

    /// <summary>NAME of each tensor that is under PREFIX whole, as a sample or as sums; sorted.</summary>
    public static IEnumerable<string> Names(this GoldenFile golden, string prefix)
        => golden.KeysUnder(prefix).Union(golden.KeysUnder(prefix + "_sample")).Union(golden.KeysUnder(prefix + "_stat"))
            .Order(StringComparer.Ordinal);

    /// <summary>Asserts that a tensor is the golden one, whole or by what there is of its sample and sums.</summary>
    public static void Compare(this GoldenFile golden, string key, Tensor actual, double tolerance = GoldenComparison.Tolerance)
    {
        double error = golden.Error(key, actual);
        (error <= tolerance).Should().BeTrue($"{key} of {golden.Name} has a relative error of {error:g3}, and {tolerance:g3} is allowed");
    }
}
