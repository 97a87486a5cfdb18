using System.Globalization;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// <c>metagf_*.pt</c>: epochs of Meta-GF on a chain of convolutions with weights per tensor or channel; a fusion by weights per pair of
/// channels; the coefficients of all passes.
/// </summary>
internal static class MetaGfCase
{
    private const string RateKey = "config/meta_lr";

    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(
            golden, key => IsInput(key) || IsRoundingNoise(golden, key), comparison => CheckAll(comparison, golden), QuantityOf);
    }

    private static void CheckAll(GoldenComparison comparison, GoldenFile golden)
    {
        if (golden.Contains("meta"))
        {
            CheckCoefficients(comparison, golden);
        }
        else if (golden.Contains("fused/conv0.weight"))
        {
            CheckPairs(comparison, golden);
        }
        else
        {
            foreach (string key in golden.Keys.Where(key => key.EndsWith(RateKey, StringComparison.Ordinal)).ToArray())
            {
                CheckEpochs(comparison, golden, key[..^RateKey.Length]);
            }
        }
    }

    private static bool IsInput(string key) => key is "x" or "y" or "epoch" || key.Split('/') switch
    {
        ["config" or "state" or "reach" or "w", ..] => true,
        [_, "x" or "y"] or [_, "config" or "state" or "reach", ..] => true,
        _ => false,
    };

    /// <summary>Whether it is a gradient by weights of a tensor that only one exit reaches, where the weights have no effect.</summary>
    internal static bool IsRoundingNoise(GoldenFile golden, string key) => key.Split('/') is [.., var kind, _, var name]
        && ((kind == "grad_w" && ExitsOf(golden, name) < 2)
            || (key.Contains("/meta/grad/", StringComparison.Ordinal) && ReachOf(golden, key, name) < 2));

    private static string QuantityOf(string key) => string.Join('/', key.Split('/')
        .Where(part => !part.Contains('.', StringComparison.Ordinal)
            && !part.StartsWith("epoch", StringComparison.Ordinal) && !part.StartsWith("exit", StringComparison.Ordinal)));

    private static int ReachOf(GoldenFile golden, string key, string name)
        => golden.Ints($"{key[..key.IndexOf("epoch", StringComparison.Ordinal)]}reach/{name}").Sum();

    private static int ExitsOf(GoldenFile golden, string name)
        => Enumerable.Range(0, 3).Count(k => golden.Contains(Key($"w/exit{k}/{name}")));

    private static void CheckCoefficients(GoldenComparison comparison, GoldenFile golden)
    {
        int exits = golden.Int("config/exits"), epochs = golden.Int("config/epochs");
        double[] progress = [.. golden.Ints("epoch").Select(epoch => (double)epoch / epochs)];
        comparison.Check("meta", stack([.. progress.Select(at => tensor(MetaGfCoefficients.Meta(exits, at)))]));
        foreach (string key in golden.Keys.Where(key => key.EndsWith("/train", StringComparison.Ordinal)).ToArray())
        {
            var options = new MetaGfOptions
            {
                Auxiliary = key.StartsWith("m4", StringComparison.Ordinal) ? AuxiliaryLosses.Vgg : AuxiliaryLosses.Msdnet,
                Ramp = key.Contains("usingsdn1", StringComparison.Ordinal),
            };
            comparison.Check(key, stack([.. progress.Select(at => stack(
                [.. Enumerable.Range(0, exits).Select(k => tensor(MetaGfCoefficients.Train(k, exits, at, options)))]))]));
        }
    }

    private static void CheckPairs(GoldenComparison comparison, GoldenFile golden)
    {
        using var network = new GoldenChain(golden, "");
        network.LoadState(golden, "state");
        using var fusion = new ExitFusion(new MetaGfOptions { Unit = FusionUnit.ChannelPair }, network);
        fusion.BeginEpoch((k, p) => golden.Contains(Key($"w/exit{k}/{GoldenChain.Published(network.ParameterNames[p])}")));
        for (int k = 0; k < network.Exits; k++)
        {
            network.LoadState(golden, Key($"exit{k}/state"));
            fusion.EndPass(k);
        }

        using (no_grad())
        {
            foreach ((string name, Tensor weights) in network.ParameterNames.Zip(fusion.Weights))
            {
                string published = GoldenChain.Published(name);
                foreach (int k in Enumerable.Range(0, network.Exits).Where(k => golden.Contains(Key($"w/exit{k}/{published}"))))
                {
                    weights.select(0, k).copy_(golden[Key($"w/exit{k}/{published}")].view(weights.select(0, k).shape));
                }
            }
        }

        CheckFusion(comparison, golden, network, fusion);
    }

    private static void CheckFusion(GoldenComparison comparison, GoldenFile golden, GoldenChain network, ExitFusion fusion)
    {
        IReadOnlyList<Tensor> fused = fusion.Fuse();
        Tensor loss = CrossEntropy.PerSample(network.Forward(golden["x"], NormStatistics.BatchAndUpdate), golden["y"]).mean([0]).sum();
        comparison.Check("loss", loss);
        IReadOnlyList<Tensor?> byFused = Autograd.Gradients("the loss", [loss], null, network.Parameters);
        IReadOnlyList<Tensor?> byWeights = Autograd.Gradients(
            "the fused parameters", fused, [.. byFused.Select(gradient => gradient!)], fusion.Weights);
        for (int p = 0; p < fused.Count; p++)
        {
            string name = GoldenChain.Published(network.ParameterNames[p]);
            comparison.Check($"fused/{name}", fused[p]);
            foreach (int k in Enumerable.Range(0, network.Exits).Where(k => golden.Contains(Key($"grad_w/exit{k}/{name}"))))
            {
                string key = Key($"grad_w/exit{k}/{name}");
                if (ExitsOf(golden, name) > 1)
                {
                    comparison.Check(key, byWeights[p]!.select(0, k).reshape(golden[key].shape));
                }
            }
        }
    }

    private static void CheckEpochs(GoldenComparison comparison, GoldenFile golden, string prefix)
    {
        double Setting(string name) => golden.Real($"{prefix}config/{name}");
        bool byChannel = golden.Contains($"{prefix}config/temperature");
        var options = new MetaGfOptions
        {
            Ramp = golden.Int($"{prefix}config/usingsdn") != 0,
            Auxiliary = byChannel ? AuxiliaryLosses.Vgg : AuxiliaryLosses.Msdnet,
            Unit = byChannel ? FusionUnit.Channel : FusionUnit.Tensor,
            Activation = byChannel ? FusionActivation.Exponential : FusionActivation.Sigmoid,
            Temperature = byChannel ? Setting("temperature") : 1,
            LastStart = byChannel ? 5 : null,
            Rate = Setting("meta_lr"),
            Average = Setting("ema_old"),
            Averaging = byChannel ? FusionAveraging.InPlace : FusionAveraging.Replaced,
            TrailingStep = true,
        };
        using var network = new GoldenChain(golden, prefix);
        network.LoadState(golden, $"{prefix}state");
        var train = new TrainOptions { Momentum = Setting("momentum"), WeightDecay = Setting("weight_decay") };
        using var optimiser = new Sgd(network.named_parameters(), train);
        IMetaGradient method = MetaGradients.Create(new MetaOptions(), network, optimiser, TrainingLoss.Plain);
        using var metaGf = new MetaGf(options, network, method, optimiser);
        var run = new MetaGfEpochs(comparison, golden, prefix, network, metaGf);
        for (int epoch = 0; golden.Contains(Key($"{prefix}epoch{epoch}/meta/loss")); epoch++)
        {
            run.Check(epoch);
        }
    }

    internal static string Key(FormattableString key) => key.ToString(CultureInfo.InvariantCulture);
}
