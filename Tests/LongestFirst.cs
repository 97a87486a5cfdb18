using Imta.MetaWeight.Tests;
using Imta.MetaWeight.Tests.Docs;
using Imta.MetaWeight.Tests.Experiments;
using Imta.MetaWeight.Tests.Experiments.Checkpoints;
using Imta.MetaWeight.Tests.Experiments.Commands;
using Imta.MetaWeight.Tests.Experiments.Data.Pictures;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;
using Imta.MetaWeight.Tests.Experiments.Verification;
using Imta.MetaWeight.Tests.Meta.Gradients;
using Xunit.Abstractions;

[assembly: TestCollectionOrderer($"Imta.MetaWeight.Tests.{nameof(LongestFirst)}", "Imta.MetaWeight.Tests")]

namespace Imta.MetaWeight.Tests;

/// <summary>Begins with the classes whose tests take minutes, one after another, so that none of them is left alone at the end.</summary>
public sealed class LongestFirst : ITestCollectionOrderer
{
    private static readonly string[] Longest =
    [
        nameof(BrokenOffRanksTests), nameof(ProcessesCommandTests), nameof(SweepCommandTests), nameof(CheckpointTests),
        nameof(ImageNetTrainTests), nameof(GoldenVerificationTests), nameof(ForwardMetaGradientTests), nameof(LibraryPageTests),
        nameof(TrainGradientCombinationTests), nameof(TrainCommandTests), nameof(ExtensionsTests), nameof(BenchCommandTests),
        nameof(InitialWeightsTests), nameof(OwnBackbonePageTests), nameof(ExtendingPageTests),
    ];

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections)
        => testCollections.OrderBy(one =>
        {
            int place = Array.FindIndex(Longest, name => one.DisplayName.EndsWith($".{name}", StringComparison.Ordinal));
            return place < 0 ? Longest.Length : place;
        });
}
