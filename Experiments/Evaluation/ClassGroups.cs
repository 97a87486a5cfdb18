namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>Classes that are looked at apart: of a long-tailed training set its head, medium and tail.</summary>
/// <param name="Name">Such as <c>head</c>.</param>
/// <param name="Classes">Which, by label.</param>
internal sealed record ClassGroup(string Name, IReadOnlySet<long> Classes)
{
    private const int Imbalanced = 2; // the largest class has so many times the images of the smallest

    private static readonly string[] Thirds = ["head", "medium", "tail"];

    /// <summary>All classes, and where the training set is long-tailed its thirds: the classes with most images first, of equal ones the earlier.</summary>
    /// <param name="counts">Training images of each class.</param>
    public static IReadOnlyList<ClassGroup> Of(IReadOnlyList<long> counts)
    {
        long[] order = [.. Enumerable.Range(0, counts.Count).OrderByDescending(label => counts[label]).Select(label => (long)label)];
        var all = new ClassGroup("all", order.ToHashSet());
        // A balanced set that was cut may have an image more in one class than in another.
        if (counts.Count < Thirds.Length || counts.Max() < Imbalanced * counts.Min() || counts.Max() - counts.Min() <= 1)
        {
            return [all];
        }

        int Start(int third) => (third * counts.Count) + Thirds.Length - 1;
        return [all, .. Thirds.Select((name, t) => new ClassGroup(name, order[(Start(t) / Thirds.Length)..(Start(t + 1) / Thirds.Length)].ToHashSet()))];
    }
}
