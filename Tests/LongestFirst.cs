using Imta.MetaWeight.Tests;
using Xunit.Abstractions;

[assembly: TestCollectionOrderer($"Imta.MetaWeight.Tests.{nameof(LongestFirst)}", "Imta.MetaWeight.Tests")]

namespace Imta.MetaWeight.Tests;

/// <summary>Begins with the classes whose tests take minutes, one after another, so that none of them is left alone at the end.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    private static readonly string[] Longest =
    [
        "ProcessesCommandTests", "CheckpointTests", "ForwardMetaGradientTests", "LibraryPageTests", "TrainGradientCombinationTests",
        "ExtensionsTests", "SweepCommandTests", "ImageNetTrainTests", "BenchCommandTests", "OwnBackbonePageTests", "ExtendingPageTests",
    ];

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections)
        => testCollections.OrderBy(one =>
        {
            int place = Array.FindIndex(Longest, name => one.DisplayName.EndsWith($".{name}", StringComparison.Ordinal));
            return place < 0 ? Longest.Length : place;
        });
}
