using System.Globalization;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// <c>names_imagenet_stepS*.csv</c>: names and shapes of the state dicts of the published ImageNet MSDNets (base = step = S, five exits,
/// 32 channels, growth 16, factors 1-2-4-4).
/// </summary>
internal static partial class NamesCase
{
    private const double Exact = 0;

    public static IEnumerable<VerifiedQuantity> Run(string path)
    {
        using DisposeScope scope = NewDisposeScope();
        string file = Path.GetFileName(path);
        int step = int.Parse(StepInName().Match(file).Groups[1].Value, CultureInfo.InvariantCulture);
        var options = new MsdNetOptions
        {
            Base = step,
            Step = step,
            StepMode = StepMode.Even,
            Channels = 32,
            Growth = 16,
            GrowthFactors = [1, 2, 4, 4],
            BottleneckFactors = [1, 2, 4, 4],
        };
        using MsdNet network = new MsdNet(options, ImageKind.ImageNet, classes: 1000, GoldenNetworks.Factory(CPU));
        string[] own = [.. network.state_dict().Select(entry => $"{entry.Key},{string.Join('x', entry.Value.shape)}")];
        string[] published = [.. File.ReadLines(path).Skip(1).Where(line => line.Length > 0)];
        HashSet<string> parameters = [.. network.ParameterNames];
        string[] publishedParameters = [.. published.Select(line => line.Split(',')[0]).Where(parameters.Contains)];
        return
        [
            VerifiedQuantity.Compared(
                file, "names and shapes", Differences(own.Order(StringComparer.Ordinal), published.Order(StringComparer.Ordinal)), Exact),
            // optimisers index parameters in this order
            VerifiedQuantity.Compared(file, "order of parameters", Differences(network.ParameterNames, publishedParameters), Exact),
        ];
    }

    /// <summary>The number of positions at which two lists differ.</summary>
    private static int Differences(IEnumerable<string> own, IEnumerable<string> published)
    {
        (string[] a, string[] b) = ([.. own], [.. published]);
        return a.Zip(b).Count(pair => pair.First != pair.Second) + Math.Abs(a.Length - b.Length);
    }

    [GeneratedRegex("_step([0-9]+)")]
    private static partial Regex StepInName();
}
