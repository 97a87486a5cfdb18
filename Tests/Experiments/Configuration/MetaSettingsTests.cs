using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Meta.Weighting;
using Imta.MetaWeight.Tests.Meta;

namespace Imta.MetaWeight.Tests.Experiments.Configuration;

/// <summary>From the group <c>meta</c> to a weighting that says what it is and owns its state.</summary>
public sealed class MetaSettingsTests
{
    /// <summary>
    /// Options, what they are called, whether a batch is cut, and from which of its first four batches weights are learned.
    /// </summary>
    public static TheoryData<object, string, bool, bool[]> Methods => new()
    {
        { new MetaSettings { Enabled = false }, "plain training", false, [false, false, false, false] },
        { new MetaSettings(), "learned sample weights", true, [true, true, true, true] },
        { new MetaSettings { Interval = 3 }, "learned sample weights", true, [true, false, false, true] },
        { new MetaSettings { Interval = 0 }, "learned sample weights", true, [false, false, false, false] },
        { new MetaSettings { Source = MetaSource.HeldOut }, "learned sample weights", false, [true, true, true, true] },
        {
            new MetaSettings { Wpn = new WpnOptions { Output = WpnOutput.Sigmoid } },
            "learned sample weights (Meta-Weight-Net)", true, [true, true, true, true]
        },
        { new MetaSettings { Weights = Choice("allocated") }, "allocated training samples", true, [false, false, false, false] },
        { new MetaSettings { Weights = Choice("fixed") }, "fixed sample weights", true, [false, false, false, false] },
        { new MetaSettings { Enabled = false, Weights = Choice("fixed") }, "plain training", false, [false, false, false, false] },
    };

    [Theory]
    [MemberData(nameof(Methods))]
    public void The_settings_describe_a_weighting(object settings, string description, bool cuts, bool[] learns)
    {
        var options = (MetaSettings)settings;
        using var random = new Generator(3);
        using var network = new TinyNetwork(random);
        using ISampleWeighting weighting = options.Build(network, random);

        weighting.Description.Should().Be(description);
        weighting.CutsBatch.Should().Be(cuts);
        options.SplitsBatch.Should().Be(cuts);
        Enumerable.Range(0, learns.Length).Select(weighting.Learns).Should().Equal(learns);
        (weighting.Parameters.Count > 0).Should().Be(options.Learns);
        weighting.State.Groups.Keys.Should()
            .Equal(options.Learns ? [LearnedWeighting.NetworkKey, LearnedWeighting.OptimiserKey] : []);
    }

    private static Choice<WeightingMethod> Choice(string name) => new MetaSettings().Weights.Choose(name);
}
