using System.Globalization;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary><c>weighting*.pt</c>: weights of losses by Dynamic Weight Average, uncertainty weighting and GradNorm.</summary>
internal static class WeightingCase
{
    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        using GoldenFile golden = GoldenFile.Open(path, device);
        return GoldenComparison.Run(
            golden,
            IsInput,
            comparison =>
            {
                CheckAverages(golden, comparison);
                CheckUncertainty(golden, comparison);
                CheckNorms(golden, comparison);
            },
            quantityOf: key => key.Replace('/', ' '));
    }

    private static bool IsInput(string key) => key.StartsWith("config/", StringComparison.Ordinal)
        || key.Split('/')[^1] is "loss_history" or "loss" or "loss0" or "s" or "grads" or "reach";

    private static void CheckAverages(GoldenFile golden, GoldenComparison comparison)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor history = golden["dwa/loss_history"]; // [K, epochs]
        foreach ((string name, double temperature) in Cases(golden, "dwa", "T"))
        {
            using var combination = new DynamicWeightAverage(new DynamicWeightAverageOptions { Temperature = temperature });
            for (int epoch = 0; epoch < history.size(1); epoch++)
            {
                Tensor weights = combination.Weights(history.select(1, epoch));
                combination.EndEpoch();
                if (golden.Contains($"{name}/epoch{epoch}"))
                {
                    comparison.Check($"{name}/epoch{epoch}", weights);
                }
            }
        }
    }

    private static void CheckUncertainty(GoldenFile golden, GoldenComparison comparison)
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor s, Tensor losses) = (golden["uw/s"], golden["uw/loss"]);
        Tensor weights = UncertaintyWeighting.WeightsAt(s);
        comparison.Check("uw/weight", weights);
        comparison.Check("uw/grad_s", UncertaintyWeighting.Slope(s, losses));
        comparison.Check("uw/total", weights.mul(losses).add(s.mul(Held(0.5)), One).sum());
    }

    private static void CheckNorms(GoldenFile golden, GoldenComparison comparison)
    {
        using DisposeScope scope = NewDisposeScope();
        ExitGradients gradients = new GoldenGradients(golden, "gradnorm").All();
        Tensor norms = tensor(gradients.Norms(), device: golden["gradnorm/grads"].device);
        foreach ((string name, double alpha) in Cases(golden, "gradnorm", "alpha"))
        {
            (Tensor s, Tensor fallen) = (golden[$"{name}/s"], golden[$"{name}/loss"].div(golden[$"{name}/loss0"]));
            Tensor weights = GradNorm.WeightsAt(s);
            comparison.Check($"{name}/weight", weights);
            comparison.Check($"{name}/grad_s", GradNorm.Slope(s, fallen, norms, alpha));
            comparison.Check($"{name}/merged", GoldenGradients.Flat(gradients.Sum(GoldenFile.Values(weights))));
        }
    }

    /// <summary>The cases PREFIX/PARAMETERvalue of a file.</summary>
    private static (string Name, double Value)[] Cases(GoldenFile golden, string prefix, string parameter) =>
    [
        .. golden.KeysUnder(prefix).Select(key => key.Split('/')[0]).Distinct()
            .Where(name => name.StartsWith(parameter, StringComparison.Ordinal))
            .Select(name => ($"{prefix}/{name}", double.Parse(name[parameter.Length..], CultureInfo.InvariantCulture))),
    ];
}
