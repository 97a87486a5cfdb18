using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;
using TorchSharp.Modules;
using static Imta.MetaWeight.Backbones.Kernels.HeldScalars;
using static TorchSharp.torch;

namespace ExtensionHost;

public sealed record ExitScalesOptions
{
    [Description("Largest change of a weight")]
    [Range(0.0, 1.0)]
    public double Range { get; init; } = 0.5;
}

/// <summary><c>meta.weights=scales</c>: one learned weight per exit, the same for all samples, by plain gradient descent.</summary>
public sealed class ExitScales(ExitScalesOptions own, MetaOptions meta, MultiExitNetwork backbone) : ISampleWeighting
{
    private readonly Parameter _theta = new(zeros_like(backbone.Parameters[0].flatten()[0]).expand(backbone.Exits).clone()); // [K]

    public static WeightingMethod Method { get; } = WeightingMethod.Create<ExitScalesOptions>(
        "scales", learns: true, (own, meta, backbone, _) => new ExitScales(own, meta, backbone));

    public string Description => "a learned weight per exit";

    public bool CutsBatch => meta.Source == MetaSource.Halves;

    public IReadOnlyList<Parameter> Parameters => [_theta];

    public StateTree State => new() { Groups = { ["exit_scales"] = new StateTree([new("theta", _theta)]) } };

    public bool Learns(int batch) => meta.Interval > 0 && batch % meta.Interval == 0;

    public Tensor Features(IForward forward) => forward.CrossEntropies.detach(); // [N, K]

    public Tensor Weights(Tensor features)
    {
        Tensor change = _theta.tanh().mul(Held(own.Range));
        return (change - change.mean()).add(Held(1), One).expand_as(features);
    }

    public void Update(IReadOnlyList<Tensor?> gradient, double rate)
    {
        using IDisposable noGrad = no_grad();
        _theta.sub_(gradient[0]!.mul(Held(rate)));
    }

    public void LoadState(StateTree state)
    {
        using IDisposable noGrad = no_grad();
        _theta.copy_(state.Group("exit_scales").Tensor("theta"));
    }

    public void Dispose() => _theta.Dispose();
}
