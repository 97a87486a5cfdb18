using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Linearised;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using static Imta.MetaWeight.Backbones.Kernels.HeldScalars;
using static TorchSharp.torch;

TorchLibraries.Prepare();
const int Exits = 3, Classes = 4, Samples = 8;
using var random = new Generator(7);
var factory = new LayerFactory(Initialisation.Published, random, ScalarType.Float64, CPU);
using var network = new SmallNetwork(Exits, width: 5, Classes, factory);
(LabelledImages train, LabelledImages meta) = (Batch(), Batch());

// u: a direction of the parameters; g: any ∂/∂logits.
LinearisedPass pass = network.Linearise(train.Images, parameters: null, NormStatistics.Batch);
Tensor[] u = [.. network.Parameters.Select(Like)], g = [.. pass.Logits.Select(Like)];
Tensor ahead = Product(pass.Tangent(u), g);
Tensor back = Product(pass.Gradient([.. g.Select(part => part.clone())])!, u); // the tensors are given away
Console.WriteLine($"adjoint to 1e-12: {Error(back, ahead) < 1e-12}");

Tensor weights = rand([Samples, Exits], ScalarType.Float64, generator: random).add(Held(0.5), One);
Tensor forward = ByWeights(MetaGradientMethod.Forward), unrolled = ByWeights(MetaGradientMethod.Unrolled);
Console.WriteLine($"forward is unrolled to 1e-12: {Error(forward, unrolled) < 1e-12}");

Tensor ByWeights(MetaGradientMethod method)
{
    using var optimiser = new Sgd(network.named_parameters(), new TrainOptions());
    IMetaGradient gradient = MetaGradients.Create(new MetaOptions { Gradient = method }, network, optimiser, TrainingLoss.Plain);
    Console.WriteLine($"{method}: {gradient.GetType().Name}");
    return gradient.WeightGradient(gradient.Forward(train), weights, meta, rate: 0.1).GradWeights;
}

LabelledImages Batch() => new(
    randn([Samples, 3, 16, 16], ScalarType.Float64, generator: random),
    randint(Classes, [Samples], ScalarType.Int64, generator: random));

Tensor Like(Tensor tensor) => randn(tensor.shape, ScalarType.Float64, generator: random);

static Tensor Product(IEnumerable<Tensor> a, IEnumerable<Tensor> b) => stack([.. a.Zip(b, (x, y) => (x * y).sum())]).sum();

static double Error(Tensor actual, Tensor expected) => ((actual - expected).abs().max() / expected.abs().max()).item<double>();
