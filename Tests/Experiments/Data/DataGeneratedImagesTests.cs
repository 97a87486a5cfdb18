using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

public sealed class DataGeneratedImagesTests
{
    private static ImageSet Make(int count, ulong seed = 1, int classes = 10)
    {
        using var random = new Generator(seed);
        return GeneratedImages.Make(count, classes, random);
    }

    // Features [N, F]: how each channel goes together with each channel some pixels away. Gratings differ in them whatever their phase.
    private static Tensor Correlations(ImageSet set)
    {
        using var scope = NewDisposeScope();
        var x = set.Images.to_type(ScalarType.Float32).div(Held(255.0)).sub(Held(0.5)); // [N, 3, 32, 32]
        Tensor Window(int down, int across) => x.narrow(2, 8 + down, 16).narrow(3, 8 + across, 16).reshape(set.Count, 3, 256);
        var middle = Window(0, 0).transpose(1, 2); // [N, 256, 3]
        var features =
            from down in Enumerable.Range(0, 6)
            from across in Enumerable.Range(-5, 11)
            select Window(down, across).matmul(middle).view(set.Count, 9);
        var all = cat(features.ToArray(), 1);
        return (all / all.pow(Held(2)).sum(1, keepdim: true).sqrt()).MoveToOuterDisposeScope();
    }

    [Fact]
    public void A_simple_rule_finds_the_class_nearly_always_when_easy_and_less_often_the_harder_the_image()
    {
        using var scope = NewDisposeScope();
        using var train = Make(1500, seed: 1);
        using var test = Make(1000, seed: 2);
        var known = Correlations(train);
        var easy = train.Difficulty!.lt(Held(GeneratedImages.HardThreshold)).to_type(ScalarType.Float32).unsqueeze(1);
        var centres = stack(Enumerable.Range(0, 10).Select(c =>
        {
            var mine = train.Labels.eq(Held(c)).to_type(ScalarType.Float32).unsqueeze(1) * easy;
            return (known * mine).sum(dim: 0) / mine.sum();
        })); // [10, F]
        var right = Correlations(test).matmul(centres.t()).argmax(1).eq(test.Labels).to_type(ScalarType.Float32);
        double Accuracy(double from, double to)
        {
            var here = test.Difficulty!.ge(Held(from)).logical_and(test.Difficulty.lt(Held(to))).to_type(ScalarType.Float32);
            return (right * here).sum().item<float>() / here.sum().item<float>();
        }

        double[] accuracies = [Accuracy(0, 0.33), Accuracy(0.33, 0.67), Accuracy(0.67, 1)];
        accuracies.Should().BeInDescendingOrder();
        accuracies[0].Should().BeGreaterThan(0.95);
        accuracies[2].Should().BeInRange(0.2, 0.9, "hard images are hard, yet carry their class (chance is 0.1)");
    }

    [Fact]
    public void Harder_images_have_less_contrast_and_more_noise()
    {
        using var scope = NewDisposeScope();
        using var set = Make(1000);
        var x = set.Images.to_type(ScalarType.Float32);
        var roughness = (x.narrow(3, 1, 31) - x.narrow(3, 0, 31)).abs().mean([1, 2, 3]);
        var d = set.Difficulty! - set.Difficulty!.mean();
        var r = roughness - roughness.mean();
        ((d * r).mean() / ((d * d).mean() * (r * r).mean()).sqrt()).item<float>().Should().BeGreaterThan(0.7f);
    }

    [Theory]
    [InlineData(1000, 10)]
    [InlineData(997, 10)]
    [InlineData(350, 7)]
    [InlineData(2000, 100)]
    public void Classes_and_shares_of_difficulty_are_as_documented(int count, int classes)
    {
        using var set = Make(count, classes: classes);
        set.Images.shape.Should().Equal(count, 3, 32, 32);
        set.ClassNames.Should().HaveCount(classes);
        long[] labels = set.Labels.data<long>().ToArray();
        float[] difficulty = set.Difficulty!.data<float>().ToArray();
        difficulty.Should().OnlyContain(d => d >= 0 && d <= 1);
        foreach (var mine in labels.Zip(difficulty).GroupBy(pair => pair.First))
        {
            mine.Count().Should().BeInRange(count / classes, (count + classes - 1) / classes);
            int easy = mine.Count(pair => pair.Second < GeneratedImages.HardThreshold);
            Math.Abs(easy - (mine.Count() * GeneratedImages.EasyShare)).Should().BeLessThanOrEqualTo(1);
        }

        labels.Distinct().Should().HaveCount(classes);
    }

    [Fact]
    public void Labels_and_difficulty_come_in_random_order()
    {
        using var set = Make(1000);
        var labels = set.Labels.data<long>().ToArray();
        labels.Take(100).Distinct().Should().HaveCount(10);
        labels.Zip(labels.Skip(1)).Count(pair => (pair.Second - pair.First + 10) % 10 == 1)
            .Should().BeLessThan(200, "they are not dealt out in turn");
        set.Difficulty!.data<float>().ToArray().Take(100).Count(d => d < GeneratedImages.HardThreshold).Should().BeInRange(40, 80);
    }

    [Fact]
    public void The_same_seed_gives_the_same_images_and_another_seed_others()
    {
        using var first = Make(600, seed: 3);
        using var again = Make(600, seed: 3);
        using var other = Make(600, seed: 4);
        byte[] bytes = first.Images.data<byte>().ToArray();
        again.Images.data<byte>().ToArray().AsSpan().SequenceEqual(bytes).Should().BeTrue();
        again.Labels.data<long>().ToArray().Should().Equal(first.Labels.data<long>().ToArray());
        again.Difficulty!.data<float>().ToArray().Should().Equal(first.Difficulty!.data<float>().ToArray());
        other.Images.data<byte>().ToArray().AsSpan().SequenceEqual(bytes).Should().BeFalse();
    }

    [Fact]
    public void Images_use_the_range_of_bytes_without_much_clipping()
    {
        using var set = Make(1000);
        byte[] bytes = set.Images.data<byte>().ToArray();
        double mean = bytes.Average(b => (double)b);
        mean.Should().BeApproximately(127.5, 3);
        ((double)bytes.Count(b => b is 0 or 255) / bytes.Length).Should().BeLessThan(0.02);
    }

    [Fact]
    public void Making_images_leaves_no_tensor_behind_but_the_set()
    {
        using var scope = NewDisposeScope();
        using var set = Make(20);
        scope.DisposablesCount.Should().Be(0);
        set.Images.IsInvalid.Should().BeFalse();
    }
}
