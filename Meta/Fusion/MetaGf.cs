using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Meta.Fusion;

/// <summary>
/// Meta-GF (Sun et al., "Meta-GF: Training Dynamic-Depth Neural Networks Harmoniously", ECCV 2022). An epoch has K + 1 passes over the
/// training samples: one for each exit, from the epoch's first parameters θ, after which θ_k − θ counts as that exit's gradient; and one
/// that learns how to fuse these (<see cref="ExitFusion"/>), and leaves the network as it was fused for the last batch.
/// </summary>
/// <remarks>
/// As in the published code, batch norm's running statistics and the optimiser's momentum carry over from each pass to the next, and the
/// fusion learns from the training samples. Shapes: <c>N</c> samples, <c>K</c> exits.
/// </remarks>
public sealed class MetaGf : IStateful, IDisposable
{
    /// <summary>The name of its group in the state of a run's model.</summary>
    public const string StateGroup = "meta_gf";

    private const string PassKey = "pass";
    private const int NoPass = -1;

    private readonly MetaGfOptions _options;
    private readonly IMetaGradient _method;
    private readonly Sgd _optimiser;
    private readonly Averaging? _averaging;
    private readonly int _exits;
    private int _pass = NoPass; // the latest to have begun

    /// <summary>The loop over a network.</summary>
    /// <param name="options">Options of the fusion, and of the losses in each pass.</param>
    /// <param name="network">The backbone.</param>
    /// <param name="method">
    /// Its <see cref="IMetaGradient.Forward"/> makes the forward passes; their <see cref="IForward.ExitGradient"/> is null where an exit
    /// does not reach a parameter.
    /// </param>
    /// <param name="optimiser">Updates θ in the exits' passes.</param>
    /// <param name="averaging">Averages gradients over processes; null: single-process training.</param>
    public MetaGf(MetaGfOptions options, MultiExitNetwork network, IMetaGradient method, Sgd optimiser, Averaging? averaging = null)
    {
        (_options, _method, _optimiser, _averaging, _exits) = (options, method, optimiser, averaging, network.Exits);
        Fusion = new ExitFusion(options, network);
    }

    /// <summary>Passes over the training samples in an epoch: K + 1.</summary>
    public int Passes => _exits + 1;

    /// <summary>The fusion, with w and what it fuses.</summary>
    public ExitFusion Fusion { get; }

    /// <inheritdoc/>
    public StateTree State
    {
        get
        {
            StateTree state = Fusion.State;
            state.Numbers[PassKey] = _pass;
            return new StateTree { Groups = { [StateGroup] = state } };
        }
    }

    /// <summary>One batch of one pass.</summary>
    /// <param name="batch">N samples.</param>
    /// <param name="at">Where in the epoch it is.</param>
    /// <param name="rate">The learning rate of θ.</param>
    /// <returns>Its report, with the losses' coefficients as weights, in the caller's dispose scope.</returns>
    public HalfBatchReport Step(LabelledImages batch, PassPosition at, double rate)
    {
        using DisposeScope scope = NewDisposeScope();
        bool fuses = at.Pass == _exits;
        if (Fusion.IsInEpoch && at.Pass != _pass)
        {
            Fusion.EndPass(_pass);
        }

        IReadOnlyList<Tensor>? fused = fuses ? Fusion.Fuse() : null;
        IForward forward = _method.Forward(batch);
        Tensor weights = Coefficients(at).to(forward.Losses.dtype, forward.Losses.device).expand_as(forward.Losses); // [N, K]
        Tensor cotangent = weights.div(Held(weights.shape[0]));
        if (!Fusion.IsInEpoch)
        {
            IReadOnlyList<Tensor?>[] gradients = [.. Enumerable.Range(0, _exits).Select(k => forward.ExitGradient(cotangent, k))];
            Fusion.BeginEpoch((k, p) => gradients[k][p] is not null);
        }

        _pass = at.Pass;
        if (fused is null)
        {
            _optimiser.Apply(Gradient(forward, cotangent), rate);
        }
        else if (Fusion.Learns)
        {
            Fusion.Learn(fused, Gradient(forward, cotangent));
        }

        Tensor? objective = fuses ? forward.Losses.mul(cotangent).sum() : null;
        return HalfBatchReport.Create(batch, forward, weights, objective).MoveToOuter(scope);
    }

    /// <summary>Ends an epoch, after its last batch.</summary>
    public void EndEpoch()
    {
        Fusion.EndEpoch();
        _pass = NoPass;
    }

    /// <inheritdoc/>
    public void LoadState(StateTree state)
    {
        StateTree own = state.Group(StateGroup);
        Fusion.LoadState(own);
        _pass = checked((int)own.WholeNumber(PassKey));
    }

    /// <inheritdoc/>
    public void Dispose() => Fusion.Dispose();

    private Tensor Coefficients(PassPosition at)
    {
        double progress = (double)at.Epoch / at.Epochs;
        return tensor(at.Pass == _exits
            ? MetaGfCoefficients.Meta(_exits, progress)
            : MetaGfCoefficients.Train(at.Pass, _exits, progress, _options));
    }

    private IReadOnlyList<Tensor?> Gradient(IForward forward, Tensor cotangent)
        => _averaging.Mean(forward.Gradient(cotangent), cotangent.shape[0]);
}

/// <summary>The position of a batch in an epoch of several passes.</summary>
/// <param name="Epoch">Finished epochs.</param>
/// <param name="Epochs">All epochs.</param>
/// <param name="Pass">From 0.</param>
public readonly record struct PassPosition(int Epoch, int Epochs, int Pass);

/// <summary>What Meta-GF's fusion stores during an epoch.</summary>
/// <param name="WeightsBefore">w at its start.</param>
/// <param name="Start">θ.</param>
/// <param name="Displacements">θ_k − θ, 0 until the pass of exit k ends, <c>[K, S]</c> for each parameter.</param>
/// <param name="Reach">1 where an exit's loss depends on a parameter, <c>[parameters, K]</c>.</param>
internal sealed record FusionEpoch(Tensor[] WeightsBefore, Tensor[] Start, Tensor[] Displacements, Tensor Reach) : IDisposable
{
    /// <summary>How many exits reach a parameter.</summary>
    public double[] Exits { get; } = [.. Reach.sum([1]).to_type(float64).cpu().data<double>()];

    public void Dispose()
    {
        foreach (Tensor tensor in (Tensor[])[.. WeightsBefore, .. Start, .. Displacements, Reach])
        {
            tensor.Dispose();
        }
    }
}
