using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

public sealed class DataSetsTests
{
    private static long[] Values(Tensor tensor) => tensor.data<long>().ToArray();

    private static int[] PerClass(ImageSet set)
        => [.. Enumerable.Range(0, set.ClassNames.Count).Select(c => Values(set.Labels).Count(label => label == c))];

    [Fact]
    public void Generated_data_has_its_documented_sizes()
    {
        using var data = Load(new DataOptions(), seed: 0);
        (data.Train.Count + data.Validation.Count).Should().Be(GeneratedImages.TrainImages);
        data.Validation.Count.Should().Be(400);
        data.Test.Count.Should().Be(GeneratedImages.TestImages);
        data.Classes.Should().Be(10);
        data.Normalisation.Should().Be(Normalisation.Generated);
        data.Train.Difficulty!.shape.Should().Equal(3600);
        data.Warnings.Should().BeEmpty();
        PerClass(data.Validation).Should().AllBeEquivalentTo(40);
        PerClass(data.Train).Should().AllBeEquivalentTo(360);
    }

    [Theory]
    [InlineData(0, 400, 100)]
    [InlineData(1, 137, 10)]
    [InlineData(2, 4000, null)]
    [InlineData(3, null, 1)]
    public void Train_validation_and_test_share_no_image(int seed, int? trainLimit, int? testLimit)
    {
        using var data = Load(new DataOptions { TrainLimit = trainLimit, TestLimit = testLimit }, seed);
        var positions = Values(data.Train.SourceIndices).Concat(Values(data.Validation.SourceIndices)).ToArray();
        positions.Should().HaveCount(trainLimit ?? 4000).And.OnlyHaveUniqueItems();
        positions.Should().OnlyContain(position => position >= 0 && position < 4000);
        data.Test.Count.Should().Be(testLimit ?? 1000);

        // Not one image of the three sets equals another, byte by byte.
        var images = new[] { data.Train, data.Validation, data.Test }.SelectMany(set => set.Images.data<byte>().ToArray().Chunk(3072));
        images.Select(Convert.ToHexString).Distinct().Should().HaveCount(positions.Length + data.Test.Count);
    }

    [Fact]
    public void Images_keep_their_labels_through_the_splits()
    {
        using var files = new DataCifarFolder(CifarFormat.Cifar10, perFile: 40);
        var options = new DataOptions { Dataset = DatasetKind.Cifar10, TrainLimit = 100, TestLimit = 20 };
        using var data = Load(options, seed: 1, files.Root);
        foreach (var (set, firstFile) in new[] { (data.Train, 0), (data.Validation, 0), (data.Test, 5) })
        {
            using DisposeScope scope = NewDisposeScope();
            long[] labels = Values(set.Labels);
            long[] positions = Values(set.SourceIndices);
            byte[] first = set.Images.narrow(1, 0, 1).narrow(2, 0, 1).narrow(3, 0, 1).data<byte>().ToArray();
            for (int i = 0; i < set.Count; i++)
            {
                int file = firstFile + (int)(positions[i] / 40);
                int image = (int)(positions[i] % 40);
                labels[i].Should().Be(image % 10);
                first[i].Should().Be(DataCifarFolder.Pixel(file, image, 0, 0, 0));
            }
        }
    }

    [Fact]
    public void Limits_are_balanced_over_classes()
    {
        using var files = new DataCifarFolder(CifarFormat.Cifar10, perFile: 40);
        var options = new DataOptions { Dataset = DatasetKind.Cifar10, TrainLimit = 100, TestLimit = 20 };
        using var data = Load(options, seed: 1, files.Root);
        PerClass(data.Validation).Should().AllBeEquivalentTo(1);
        PerClass(data.Train).Should().AllBeEquivalentTo(9);
        PerClass(data.Test).Should().AllBeEquivalentTo(2);
        data.Normalisation.Should().Be(Normalisation.Cifar10);
        data.Warnings.Should().HaveCount(2, "both sets are smaller than the original");
    }

    [Fact]
    public void The_seed_decides_which_images()
    {
        var options = new DataOptions { TrainLimit = 500, TestLimit = 100 };
        using var first = Load(options, 1);
        using var again = Load(options, 1);
        using var other = Load(options, 2);
        foreach (Func<RunData, ImageSet> set in (Func<RunData, ImageSet>[])[data => data.Train, data => data.Validation, data => data.Test])
        {
            Values(set(again).SourceIndices).Should().Equal(Values(set(first).SourceIndices));
            Values(set(other).SourceIndices).Should().NotEqual(Values(set(first).SourceIndices));
            set(again).Images.data<byte>().ToArray().AsSpan().SequenceEqual(set(first).Images.data<byte>().ToArray()).Should().BeTrue();
        }
    }

    [Fact]
    public void The_folder_of_the_command_line_goes_before_that_of_the_configuration()
    {
        using var files = new DataCifarFolder(CifarFormat.Cifar100, perFile: 200);
        var options = new DataOptions { Dataset = DatasetKind.Cifar100, Root = "/nowhere" };
        using var data = Load(options, 0, files.Root);
        data.Classes.Should().Be(100);
        data.Normalisation.Should().Be(Normalisation.Cifar100);
        using var byRoot = Load(options with { Root = files.Folder }, 0);
        byRoot.Train.Count.Should().Be(data.Train.Count);
    }

    [Theory]
    [InlineData(nameof(DatasetKind.Cifar10), "cifar-10-binary.tar.gz")]
    [InlineData(nameof(DatasetKind.Cifar100), "cifar-100-binary.tar.gz")]
    public void Without_a_folder_the_line_says_what_to_give(string dataset, string archive)
        => FluentActions.Invoking(() => Load(new DataOptions { Dataset = Enum.Parse<DatasetKind>(dataset) }, 0)).Should()
            .Throw<UsageException>()
            .Which.Message.Should().Contain("--data DIR").And.Contain("data.root").And.Contain(archive).And.NotContain("\n");

    [Fact]
    public void A_limit_above_the_size_is_a_warning()
    {
        using var data = Load(new DataOptions { TrainLimit = 5000, TestLimit = 1001 }, 0);
        data.Warnings.Should().HaveCount(2);
        data.Warnings[0].Should().Contain("data.trainLimit is 5000").And.Contain("4000");
        data.Warnings[1].Should().Contain("data.testLimit is 1001").And.Contain("1000");
        data.Test.Count.Should().Be(1000);
    }

    [Fact]
    public void A_folder_that_generated_data_does_not_use_is_a_warning()
    {
        using var data = Load(new DataOptions { TrainLimit = 100 }, 0, "/some/folder");
        data.Warnings.Should().ContainSingle().Which.Should().Contain("/some/folder").And.Contain("generated");
    }

    [Fact]
    public void Sizes_that_leave_nothing_to_train_on_are_refused_and_leave_no_tensor_behind()
    {
        using var scope = NewDisposeScope();
        FluentActions.Invoking(() => Load(new DataOptions { TrainLimit = 10 }, 0)).Should().Throw<UsageException>()
            .Which.Message.Should().Contain("10 training images").And.Contain("data.trainLimit");
        scope.DisposablesCount.Should().Be(0);
    }

    [Fact]
    public void Loading_leaves_no_tensor_behind_but_the_sets()
    {
        using var scope = NewDisposeScope();
        var data = Load(new DataOptions { TrainLimit = 100 }, 0);
        scope.DisposablesCount.Should().Be(0);
        data.Dispose();
        data.Train.Images.IsInvalid.Should().BeTrue();
        data.Validation.Difficulty!.IsInvalid.Should().BeTrue();
        data.Test.Labels.IsInvalid.Should().BeTrue();
    }

    [Fact]
    public void The_real_cifar10_loads_balanced_and_apart()
    {
        string? root = Environment.GetEnvironmentVariable("IMTA_CIFAR10");
        Skip.If(string.IsNullOrEmpty(root), "IMTA_CIFAR10 names no folder with CIFAR-10");
        using var data = Load(new DataOptions { Dataset = DatasetKind.Cifar10 }, seed: 0, root);
        data.Train.ClassNames.Should().Equal(CifarFormat.Cifar10.ClassNames);
        PerClass(data.Validation).Distinct().Should().ContainSingle();
        Values(data.Train.SourceIndices).Concat(Values(data.Validation.SourceIndices)).Should().OnlyHaveUniqueItems();

        // Photographs, not noise: the mean and spread that normalisation assumes, and neighbouring pixels that resemble each other.
        using var scope = NewDisposeScope();
        using var batch = new BatchSource(data.Train, data.Normalisation).InOrder(500).First();
        batch.Images.mean().item<float>().Should().BeApproximately(0, 0.2f);
        batch.Images.pow(Held(2)).mean().item<float>().Should().BeApproximately(1, 0.3f);
        (batch.Images.narrow(3, 1, 31) - batch.Images.narrow(3, 0, 31)).pow(Held(2)).mean().item<float>().Should().BeLessThan(0.3f);
    }

    internal static RunData Load(DataOptions options, int seed, string? folder = null)
        => DataSets.Load(new Settings { Data = options, Seed = seed }, folder);
}
