using Imta.MetaWeight.Tests.Docs;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta cost</c> as a user runs it.</summary>
public sealed class CostCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void The_published_network_has_the_published_costs_on_screen_and_in_the_file()
    {
        ImtaProcess.Result result = ImtaProcess.Run(
            _folder.Path, "cost", "--set", "data.dataset=cifar10", "--set", "model.msdnet.blocks=4", "--set", "model.msdnet.channels=16",
            "--set", "model.msdnet.growth=6", "--out", "cost.csv");

        result.Code.Should().Be(0, result.All);
        result.Output.Should().Contain("6,848,266").And.Contain("37,996,328").And.Contain("1,373,076");
        string[] lines = File.ReadAllLines(_folder.In("cost.csv"));
        lines[0].Should().Be("exit,macs,macs_share,parameters");
        lines[1].Should().StartWith("1,6848266,0.18").And.EndWith(",288094");
        lines[4].Should().Be("4,37996328,1,1373076");
    }

    [Fact]
    public void The_largest_published_ImageNet_network_is_counted_without_its_images()
    {
        string[] net =
        [
            "blocks=5", "base=7", "step=7", "stepMode=even", "channels=32", "growth=16", "growthFactors=[1, 2, 4, 4]",
            "bottleneckFactors=[1, 2, 4, 4]",
        ];

        ImtaProcess.Result result = ImtaProcess.Run(
            _folder.Path, ["cost", "--set", "data.dataset=imagenet", .. net.SelectMany(key => new[] { "--set", $"model.msdnet.{key}" })]);

        result.Output.Should().Contain("3,253,794,488").And.Contain("62,314,472", result.All);
    }

    [Theory]
    [InlineData("imagenet-msdnet-4", "1,360,529,624", "23,958,440")]
    [InlineData("imagenet-l2w-6", "2,742,059,056", "56,529,304")]
    [InlineData("imagenet-l2w-7-300", "3,253,794,488", "62,314,472")]
    [InlineData("imagenet-ranet-16", "1,680,979,979", "87,972,617")]
    [InlineData("imagenet-ranet-32", "2,828,311,039", "131,123,991")]
    public void The_recipes_for_ImageNet_have_the_published_networks_costs(string name, string macs, string parameters)
        => ImtaProcess.Run(
            _folder.Path, "cost", Path.Combine(MarkdownPage.Repository(), "configs", "imagenet", $"{name}.yaml")).Output.TrimEnd()
            .Split('\n')[^1]
            .Should()
            .Contain($" {macs} ").And.EndWith($" {parameters}");

    [Theory]
    [InlineData("cost", "missing.yaml")]
    [InlineData("cost", "--set", "data.dataset=imagenet", "--set", "model.msdnet.growthFactors=[1, 2, 4]")] // three scales
    [InlineData("cost", "--out", "no/such/folder/cost.csv")]
    [InlineData("cost", "--nonsense")]
    [
        InlineData(
            "train", "--set", "data.dataset=imagenet", "--set", "model.msdnet.growthFactors=[1, 2, 4, 4]", "--set",
            "model.msdnet.bottleneckFactors=[1, 2, 4, 4]")
    ]
    public void Wrong_input_is_one_line(params string[] arguments)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, arguments);

        result.Code.Should().Be(2, result.All);
        result.Output.Should().BeEmpty();
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().StartWith("imta: ");
        Directory.EnumerateFileSystemEntries(_folder.Path).Should().BeEmpty();
    }

    public void Dispose() => _folder.Dispose();
}
