using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Meta;

/// <summary>What is wrong with a <see cref="FaultyNetwork"/>.</summary>
public enum NetworkFault
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>The second exit answers the same to everything: no fault of training, its parameters stay.</summary>
    OneExitIgnoresFeatures,

    /// <summary>All exits do.</summary>
    AllExitsIgnoreFeatures,

    /// <summary>What it uses is not registered.</summary>
    ForgetsItsParameters,

    /// <summary>It overwrites what the gradient needs.</summary>
    Overwrites,

    /// <summary>The objective is one number for each sample.</summary>
    ObjectiveIsNoScalar,
}

/// <summary>A user's network of two linear exits with a fault, in which TorchSharp's <c>autograd.grad</c> would end the process.</summary>
internal sealed class FaultyNetwork : MultiExitNetwork
{
    /// <summary>The argument of this assembly's program for <see cref="Run"/>.</summary>
    public const string Program = "faulty";

    /// <summary>The method of the step that <c>imta bench meta-step --published</c> measures.</summary>
    public const string Published = "Published";

    private const int Caught = 3;

    private readonly NetworkFault _fault;
    private readonly Parameter _weight = new(randn([4, 12], float64).mul(Held(0.3)));
    private readonly Parameter[] _heads = [new(randn([3, 4], float64)), new(randn([3, 4], float64))];

    private FaultyNetwork(NetworkFault fault)
        : base("Faulty")
    {
        _fault = fault;
        if (fault == NetworkFault.ForgetsItsParameters)
        {
            register_parameter("spare", new Parameter(ones(2, float64)));
            return;
        }

        register_parameter("weight", _weight);
        register_parameter("head0", _heads[0]);
        register_parameter("head1", _heads[1]);
    }

    public override int Exits => 2;

    public override int Classes => 3;

    /// <summary>Two steps as a user's program makes them; an exception is caught and said.</summary>
    public static int Run(NetworkFault fault, string method)
    {
        manual_seed(3);
        using DisposeScope scope = NewDisposeScope();
        try
        {
            using var network = new FaultyNetwork(fault);
            if (fault == NetworkFault.ObjectiveIsNoScalar)
            {
                Tensor logits = network.Forward(randn([6, 3, 2, 2], float64), NormStatistics.Batch)[0];
                Autograd.Gradients("my objective", [logits.pow(Held(2)).sum([1])], null, network.Parameters);
            }

            MetaGradientMethod gradient = method == Published ? MetaGradientMethod.Unrolled : Enum.Parse<MetaGradientMethod>(method);
            using var tiny = new TinyBilevel(
                meta: new MetaOptions { Gradient = gradient, Wpn = new WpnOptions { Hidden = 5 } }, build: _ => network);
            using var copy = new FaultyNetwork(fault);
            BilevelLoop loop = method != Published ? tiny.Loop : new BilevelLoop(
                new PublishedMetaGradient(network, copy, tiny.Optimiser, TrainingLoss.Plain, new MetaObjective(shares: null)),
                tiny.Weighting, tiny.Optimiser, new GradientSum());
            for (int step = 0; step < 2; step++)
            {
                loop.Step(
                    new LabelledImages(randn([6, 3, 2, 2], float64), randint(3, [6], int64)), new LearningRates(0.1, 0.01), learns: true);
            }

            return 0;
        }
        catch (Exception e)
        {
            Console.Error.WriteLine($"{e.GetType().Name}: {e.Message}");
            return Caught;
        }
    }

    protected override Tensor[] Block(int k, Tensor[] features, Pass pass)
    {
        if (k > 0)
        {
            return features;
        }

        Tensor x = nn.functional.linear(features[0].flatten(1), pass[_weight]).exp();
        Tensor y = x * x;
        if (_fault == NetworkFault.Overwrites)
        {
            x.add_(Held(1), One);
        }

        return [y];
    }

    protected override Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass)
        => _fault == NetworkFault.AllExitsIgnoreFeatures || (_fault == NetworkFault.OneExitIgnoresFeatures && k == 1)
            ? zeros([features[0].shape[0], 3], float64)
            : nn.functional.linear(features[0], pass[_heads[k]]);
}
