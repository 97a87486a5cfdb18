using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Meta.Weighting;

public sealed class WeightPredictionNetworkTests : IDisposable
{
    private readonly DisposeScope _scope = NewDisposeScope();

    [Theory]
    [InlineData("meta_step_nesterov.pt")]
    [InlineData("meta_step_both_mat.pt")]
    public void Names_and_shapes_are_the_published_ones(string file)
    {
        using GoldenFile golden = GoldenFiles.Open(file);
        int exits = (int)golden.Int("config/num_exits");
        int features = golden.Int("config/meta_net_input_type") == 2 ? 2 * exits : exits;
        using WeightPredictionNetwork network = Build(layers: 1, (int)golden.Int("config/wpn_hidden"), features, exits);

        Lines(network).Should().Equal(golden.KeysUnder("wpn_state").Select(name => Line(name, golden[$"wpn_state/{name}"])));
    }

    [Fact]
    public void Further_hidden_layers_are_numbered()
    {
        using WeightPredictionNetwork network = Build(layers: 3, hidden: 5, features: 2, exits: 4);

        Lines(network).Should().Equal(
            "first_hidden_layer.fc.bias [5]",
            "first_hidden_layer.fc.weight [5, 2]",
            "output_layer.bias [4]",
            "output_layer.weight [4, 5]",
            "rest_hidden_layers.0.fc.bias [5]",
            "rest_hidden_layers.0.fc.weight [5, 5]",
            "rest_hidden_layers.1.fc.bias [5]",
            "rest_hidden_layers.1.fc.weight [5, 5]");
    }

    [Fact]
    public void It_is_linear_layers_with_relu_between_and_tanh_after()
    {
        using WeightPredictionNetwork network = Build(layers: 2, hidden: 3, features: 2, exits: 2);
        Dictionary<string, double[]> theta = network.state_dict()
            .ToDictionary(entry => entry.Key, entry => entry.Value.data<double>().ToArray());
        double[] x = [0.7, -1.3];

        double[] first = Dense(theta, "first_hidden_layer.fc", x, value => Math.Max(0, value));
        double[] second = Dense(theta, "rest_hidden_layers.0.fc", first, value => Math.Max(0, value));
        double[] expected = Dense(theta, "output_layer", second, Math.Tanh);

        GoldenFile.RelativeError(network.Forward(tensor(x, [1, 2])).data<double>().ToArray(), expected).Should().BeLessThan(1e-14);
    }

    [Fact]
    public void The_seed_decides_the_first_values_whatever_the_element_type()
    {
        using var random = new Generator(4);
        using var again = new Generator(4);
        using var other = new Generator(5);
        var options = new WpnOptions { Hidden = 3 };
        using var network = new WeightPredictionNetwork(options, 2, 2, random, float64, CPU);
        using var equal = new WeightPredictionNetwork(options, 2, 2, again, float32, CPU);
        using var different = new WeightPredictionNetwork(options, 2, 2, other, float64, CPU);

        Singles(equal).Should().Equal(Singles(network)).And.NotEqual(Singles(different));
        network.Parameters[0].abs().max().item<double>().Should().BeLessThan(1 / Math.Sqrt(2));
    }

    public void Dispose() => _scope.Dispose();

    private static WeightPredictionNetwork Build(int layers, int hidden, int features, int exits)
    {
        using var random = new Generator(2);
        return new WeightPredictionNetwork(new WpnOptions { Layers = layers, Hidden = hidden }, features, exits, random, float64, CPU);
    }

    private static IEnumerable<string> Lines(WeightPredictionNetwork network)
        => network.state_dict().Select(entry => Line(entry.Key, entry.Value)).Order(StringComparer.Ordinal);

    private static string Line(string name, Tensor tensor) => $"{name} {ShapeText(tensor)}";

    private static float[] Singles(WeightPredictionNetwork network)
        => [.. network.Parameters.SelectMany(parameter => parameter.to_type(float32).data<float>().ToArray())];

    private static double[] Dense(Dictionary<string, double[]> theta, string layer, double[] x, Func<double, double> activation)
    {
        (double[] weight, double[] bias) = (theta[layer + ".weight"], theta[layer + ".bias"]);
        return [.. bias.Select((b, row) => activation(b + x.Select((value, column) => value * weight[(row * x.Length) + column]).Sum()))];
    }
}
