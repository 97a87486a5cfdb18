using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// The gradients of the exits in a golden file, <c>grads</c> [K, D], cut into parameters that an exit reaches whole or not at all.
/// </summary>
internal sealed class GoldenGradients
{
    private readonly Tensor _gradients; // [K, D]
    private readonly bool[][] _reach; // of each exit, D
    private readonly long[] _offsets; // of the parameters, and D

    /// <param name="golden">The file.</param>
    /// <param name="name">The case.</param>
    /// <param name="gradients">The key of the gradients in it.</param>
    public GoldenGradients(GoldenFile golden, string name, string gradients = "grads")
    {
        _gradients = golden[$"{name}/{gradients}"];
        int exits = (int)_gradients.shape[0];
        double[] reach = GoldenFile.Values(golden[$"{name}/reach"]);
        int elements = reach.Length / exits;
        _reach = [.. reach.Chunk(elements).Select(of => Array.ConvertAll(of, value => value == 1))];
        _offsets =
        [
            .. Enumerable.Range(0, elements).Where(i => i == 0 || _reach.Any(of => of[i] != of[i - 1])).Select(i => (long)i), elements,
        ];
    }

    /// <summary>The cases of a file: what stands before the first slash.</summary>
    public static IEnumerable<string> Cases(GoldenFile golden)
        => golden.Keys.Where(key => key.EndsWith("/grads", StringComparison.Ordinal)).Select(key => key.Split('/')[0]).Distinct();

    /// <summary>The gradients with respect to all parameters.</summary>
    public ExitGradients All() => Between(_offsets);

    /// <summary>The gradients with respect to the parameters within a group of elements.</summary>
    /// <param name="first">Its first element.</param>
    /// <param name="end">The first after it.</param>
    public ExitGradients Group(long first, long end)
        => Between([first, .. _offsets.Where(offset => offset > first && offset < end), end]);

    /// <summary>A direction as one vector, [D] or as long as the group.</summary>
    public static Tensor Flat(IReadOnlyList<Tensor?> direction) => cat([.. direction.Select(part => part!)]);

    private ExitGradients Between(IReadOnlyList<long> offsets)
    {
        (long First, long End)[] parameters = [.. offsets.Zip(offsets.Skip(1))];
        return new ExitGradients([.. _reach.Select((reach, k) => Array.ConvertAll(parameters, part => reach[part.First]
            ? _gradients.select(0, k).narrow(0, part.First, part.End - part.First).clone()
            : null))]);
    }
}
