using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Meta.Gradients;
using TorchSharp.Modules;
using Adam = Imta.MetaWeight.Meta.Optimisers.Adam;

namespace Imta.MetaWeight.Meta.Fusion;

/// <summary>
/// Meta-GF's fusion: from an epoch's first parameters θ and the parameters θ_k after the pass of each exit k,
/// θ + Σ_k s(w_k)(θ_k − θ) / Σ_k s(w_k) over the exits that reach a parameter, with learned weights w per exit and
/// <see cref="FusionUnit"/>.
/// </summary>
/// <remarks>Shapes: <c>K</c> exits, <c>S</c> the shape of a parameter, <c>U</c> that of its weights for one exit.</remarks>
public sealed class ExitFusion : IStateful, IDisposable
{
    private const string WeightsKey = "weights", OptimiserKey = "optimiser", BeforeKey = "weights_before", StartKey = "start",
        DisplacementsKey = "displacements", ReachKey = "reach", EpochsKey = "epochs";

    private readonly MetaGfOptions _options;
    private readonly (string Name, Parameter Parameter)[] _parameters;
    private readonly Parameter[] _weights;
    private readonly int _exits;
    private long _epochs; // finished
    private FusionEpoch? _epoch;

    /// <summary>A fusion with initial weights.</summary>
    /// <param name="options">Unit, activation, initial weights, averaging.</param>
    /// <param name="network">The network whose trained parameters are fused.</param>
    public ExitFusion(MetaGfOptions options, MultiExitNetwork network)
    {
        (_options, _exits) = (options, network.Exits);
        _parameters = [.. network.ParameterNames.Zip(network.Parameters)];
        _weights = [.. _parameters.Select(entry => FirstWeights(entry.Parameter))];
        Optimiser = new Adam(_parameters.Zip(_weights, (entry, weights) => (entry.Name, weights)), weightDecay: 0);
    }

    /// <summary>w, one tensor <c>[K, U]</c> for each parameter: U is S with 1 for each axis that does not index units.</summary>
    public IReadOnlyList<Tensor> Weights => _weights;

    /// <summary>The optimiser of w.</summary>
    public Adam Optimiser { get; }

    /// <summary>Whether w is learned; with <see cref="FusionAveraging.Replaced"/>, only in the first epoch.</summary>
    public bool Learns => _options.Averaging == FusionAveraging.InPlace || _epochs == 0;

    /// <summary>Whether an epoch has begun and not yet ended.</summary>
    public bool IsInEpoch => _epoch is not null;

    /// <inheritdoc/>
    public StateTree State
    {
        get
        {
            var state = new StateTree
            {
                Numbers = { [EpochsKey] = _epochs },
                Groups = { [WeightsKey] = Named(_weights), [OptimiserKey] = Optimiser.State },
            };
            if (_epoch is { } epoch)
            {
                state.Groups[BeforeKey] = Named(epoch.WeightsBefore);
                state.Groups[StartKey] = Named(epoch.Start);
                state.Groups[DisplacementsKey] = Named(epoch.Displacements);
                state.Tensors[ReachKey] = epoch.Reach;
            }

            return state;
        }
    }

    /// <summary>Stores the current θ and w.</summary>
    /// <param name="reach">Whether an exit's loss depends on a parameter, by their indices.</param>
    public void BeginEpoch(Func<int, int, bool> reach)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        _epoch?.Dispose();
        double[] reached =
        [
            .. Enumerable.Range(0, _parameters.Length)
                .SelectMany(p => Enumerable.Range(0, _exits).Select(k => reach(k, p) ? 1.0 : 0)),
        ];
        _epoch = new FusionEpoch(
            [.. _weights.Select(Copy)],
            [.. _parameters.Select(entry => Copy(entry.Parameter))],
            [.. _parameters.Select(entry => Copy(zeros_like(entry.Parameter).expand([_exits, .. entry.Parameter.shape])))],
            Copy(tensor(reached, [_parameters.Length, _exits]).to(_weights[0].dtype, _weights[0].device)));
    }

    /// <summary>Stores θ_k − θ of an exit whose pass has ended, and resets the network to θ.</summary>
    /// <param name="exit">k, from 0.</param>
    public void EndPass(int exit)
    {
        using IDisposable noGrad = no_grad();
        for (int p = 0; p < _parameters.Length; p++)
        {
            using DisposeScope scope = NewDisposeScope();
            (Parameter parameter, Tensor start) = (_parameters[p].Parameter, Current.Start[p]);
            Current.Displacements[p].select(0, exit).copy_(parameter.sub(start));
            parameter.copy_(start);
        }
    }

    /// <summary>The fused parameters, which become the network's.</summary>
    /// <returns>One <c>[S]</c> for each parameter, with the autograd history back to w, in the current dispose scope.</returns>
    public IReadOnlyList<Tensor> Fuse()
    {
        using IDisposable grad = enable_grad();
        Tensor[] fused = [.. Enumerable.Range(0, _parameters.Length).Select(Fused)];
        using IDisposable noGrad = no_grad();
        for (int p = 0; p < fused.Length; p++)
        {
            _parameters[p].Parameter.copy_(fused[p]);
        }

        return fused;
    }

    /// <summary>Updates w by its gradient; where only one exit reaches a parameter, w has no effect and is unchanged.</summary>
    /// <param name="fused">The result of <see cref="Fuse"/>.</param>
    /// <param name="gradient">∇L with respect to the fused parameters; null: L does not depend on one.</param>
    public void Learn(IReadOnlyList<Tensor> fused, IReadOnlyList<Tensor?> gradient)
    {
        using DisposeScope scope = NewDisposeScope();
        int[] shared = [.. Enumerable.Range(0, fused.Count).Where(p => Current.Exits[p] > 1 && gradient[p] is not null)];
        Tensor[] byWeights = [.. _weights.Select(weights => zeros_like(weights))];
        if (shared.Length > 0)
        {
            IReadOnlyList<Tensor?> parts = Autograd.Gradients(
                "the fused parameters", [.. shared.Select(p => fused[p])], [.. shared.Select(p => gradient[p]!)],
                [.. shared.Select(p => _weights[p])]);
            foreach ((int p, Tensor? part) in shared.Zip(parts))
            {
                byWeights[p] = part!;
            }
        }

        Optimiser.Apply(byWeights, _options.Rate);
    }

    /// <summary>Averages w, if it is learned, with its value at the start of the epoch, and discards what the epoch stored.</summary>
    public void EndEpoch()
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        if (Learns)
        {
            if (_options.TrailingStep)
            {
                Optimiser.Apply([.. _weights.Select(weights => zeros_like(weights))], _options.Rate);
            }

            foreach ((Parameter weights, Tensor before) in _weights.Zip(Current.WeightsBefore))
            {
                weights.mul_(Held(1 - _options.Average)).add_(before, Held(_options.Average));
            }
        }

        _epochs++;
        Current.Dispose();
        _epoch = null;
    }

    /// <inheritdoc/>
    public void LoadState(StateTree state)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        StateTree weights = state.Group(WeightsKey);
        for (int p = 0; p < _weights.Length; p++)
        {
            _weights[p].copy_(weights.Tensor(_parameters[p].Name));
        }

        Optimiser.LoadState(state.Group(OptimiserKey));
        _epochs = state.WholeNumber(EpochsKey);
        Tensor[][] saved = state.Tensors.ContainsKey(ReachKey)
            ? [.. new[] { BeforeKey, StartKey, DisplacementsKey }.Select(Of), [state.Tensor(ReachKey)]]
            : [];
        _epoch?.Dispose();
        _epoch = saved is [var before, var start, var displacements, [var reach]]
            ? new FusionEpoch(Copies(before), Copies(start), Copies(displacements), Copy(reach.to(_weights[0].device)))
            : null;

        Tensor[] Of(string group) => [.. _parameters.Select(entry => state.Group(group).Tensor(entry.Name))];

        Tensor[] Copies(Tensor[] tensors) => [.. tensors.Zip(_parameters, (tensor, entry) => Copy(tensor.to(entry.Parameter.device)))];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Parameter weights in _weights)
        {
            weights.Dispose();
        }

        Optimiser.Dispose();
        _epoch?.Dispose();
    }

    private FusionEpoch Current => _epoch ?? throw new InvalidOperationException("no epoch has begun.");

    private static Tensor Copy(Tensor tensor) => tensor.detach().clone().DetachFromDisposeScope();

    private Parameter FirstWeights(Parameter parameter)
    {
        int axes = Math.Min(parameter.shape.Length, _options.Unit switch { FusionUnit.Tensor => 0, FusionUnit.Channel => 1, _ => 2 });
        long[] unit = [.. parameter.shape.Select((size, axis) => axis < axes ? size : 1)];
        using DisposeScope scope = NewDisposeScope();
        Tensor first = full([_exits, .. unit], Held(_options.Start), parameter.dtype, parameter.device);
        first.select(0, _exits - 1).fill_(Held(_options.LastStart ?? _options.Start));
        var weights = new Parameter(first);
        weights.DetachFromDisposeScope();
        return weights;
    }

    private Tensor Fused(int p)
    {
        if (Current.Exits[p] == 0)
        {
            return Current.Start[p].clone();
        }

        using DisposeScope scope = NewDisposeScope();
        Tensor weights = _weights[p], displacements = Current.Displacements[p]; // [K, U], [K, S]
        Tensor reach = Current.Reach.select(0, p).view([_exits, .. Enumerable.Repeat(1L, (int)weights.dim() - 1)]); // 0 or 1
        return scope.MoveToOuter(Current.Start[p].add(Shares(weights, reach).mul(displacements).sum([0]), One));
    }

    /// <summary>s(w_k)/Σ_j s(w_j) over the exits that reach a parameter, 0 at others: <c>[K, U]</c>.</summary>
    private Tensor Shares(Tensor weights, Tensor reach)
    {
        if (_options.Activation == FusionActivation.Exponential)
        {
            return weights.mul(Held(_options.Temperature)).masked_fill(reach.eq(Held(0)), Held(double.NegativeInfinity)).softmax(0);
        }

        Tensor activations = weights.sigmoid().mul(reach);
        return activations.div(activations.sum([0]));
    }

    private StateTree Named(IReadOnlyList<Tensor> tensors)
        => new(_parameters.Zip(tensors, (entry, tensor) => KeyValuePair.Create(entry.Name, tensor)));
}
