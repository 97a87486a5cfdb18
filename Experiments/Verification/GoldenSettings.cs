using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>The training settings of golden files, <c>config/*</c>.</summary>
internal static class GoldenSettings
{
    /// <summary>The settings of the backbone's optimiser.</summary>
    public static TrainOptions Train(GoldenFile golden) => new()
    {
        Epochs = golden.Int("config/epochs"),
        Rate = golden.Real("config/lr"),
        Momentum = golden.Real("config/momentum"),
        Nesterov = golden.Int("config/nesterov") == 1,
        WeightDecay = golden.Real("config/weight_decay"),
    };

    /// <summary>The settings of the weighting and the meta objective.</summary>
    public static MetaOptions Meta(GoldenFile golden) => new()
    {
        Q = golden.Int("config/q") / 20.0,
        Epsilon = golden.Real("config/epsilon"),
        Centring = new[] { Centring.Row, Centring.Col, Centring.Mat }[golden.Int("config/constraint_dimension")],
        Features = new[] { WeightFeatures.Loss, WeightFeatures.Confidence, WeightFeatures.Both }[golden.Int("config/meta_net_input_type")],
        Interval = golden.Int("config/meta_interval"),
        Wpn = new WpnOptions { Hidden = golden.Int("config/wpn_hidden"), Layers = golden.Int("config/wpn_layers") },
        Optimiser = new MetaOptimiserOptions
        {
            Rate = golden.Real("config/meta_lr"),
            WeightDecay = golden.Real("config/meta_weight_decay"),
        },
    };
}
