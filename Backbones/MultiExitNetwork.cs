using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones;

/// <summary>
/// A network of K blocks with an exit after each. This is all that the bilevel loop needs from a backbone: its parameters, and a
/// forward pass with these or with substitutes.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
public abstract partial class MultiExitNetwork : NamedModule
{
    private readonly Lazy<ParameterList> _trained;
    private readonly EquilibriumOptions _equilibrium;
    private readonly BoostingOptions _boosting;

    /// <summary>An empty network; the derived class registers its modules.</summary>
    /// <param name="name">The architecture's name.</param>
    /// <param name="equilibrium">Gradient Equilibrium at its exits; null: none.</param>
    /// <param name="boosting">How an exit adds to those before it; null: not at all.</param>
    protected MultiExitNetwork(string name, EquilibriumOptions? equilibrium = null, BoostingOptions? boosting = null)
        : base(name)
    {
        (_equilibrium, _boosting) = (equilibrium ?? new EquilibriumOptions(), boosting ?? new BoostingOptions());
        _trained = new Lazy<ParameterList>(() => new ParameterList([.. named_parameters().Where(entry => entry.parameter.requires_grad)]));
    }

    /// <summary>K, the number of blocks and of exits.</summary>
    public abstract int Exits { get; }

    /// <summary>C, the number of classes.</summary>
    public abstract int Classes { get; }

    /// <summary>
    /// The element type of images and features in training passes (<see cref="NormStatistics.BatchAndUpdate"/>), and so of the
    /// convolutions that read them: <c>bfloat16</c> halves their memory. Null: that of the parameters. Parameters, statistics, pooled
    /// features and logits keep theirs, and other passes (meta gradient, evaluation) are not affected.
    /// </summary>
    public ScalarType? FeatureType { get; set; }

    /// <summary>
    /// θ: every trainable parameter (<c>requires_grad</c>), in the order used for lists of gradients and substitutes.
    /// </summary>
    public IReadOnlyList<Parameter> Parameters => _trained.Value.Parameters;

    /// <summary>The name of each of <see cref="Parameters"/>, as in PyTorch's state dictionary.</summary>
    public IReadOnlyList<string> ParameterNames => _trained.Value.Names;

    /// <summary>Logits of every exit, K × <c>[N, C]</c>, with the network's own parameters.</summary>
    /// <param name="images"><c>[N, 3, H, W]</c>, normalised.</param>
    /// <param name="statistics">How batch norm behaves.</param>
    public Tensor[] Forward(Tensor images, NormStatistics statistics) => Forward(images, new Pass(statistics));

    /// <summary>Logits of every exit, K × <c>[N, C]</c>; further outputs are stored in the pass.</summary>
    /// <param name="images"><c>[N, 3, H, W]</c>, normalised.</param>
    /// <param name="pass">Parameters and batch norm.</param>
    public Tensor[] Forward(Tensor images, Pass pass) => [.. ExitByExit(images, pass)];

    /// <summary>
    /// Logits of every exit, K × <c>[N, C]</c>, with <paramref name="parameters"/> in place of <see cref="Parameters"/>.
    /// </summary>
    /// <param name="images"><c>[N, 3, H, W]</c>, normalised.</param>
    /// <param name="parameters">
    /// One tensor per entry of <see cref="Parameters"/>, in the same order and shapes; they may have autograd history.
    /// </param>
    /// <param name="statistics">How batch norm behaves.</param>
    /// <exception cref="ArgumentException">The number of tensors differs from the number of parameters.</exception>
    public Tensor[] Forward(Tensor images, IReadOnlyList<Tensor> parameters, NormStatistics statistics)
    {
        return Forward(images, PassWith(parameters, statistics, tape: null));
    }

    /// <summary>
    /// Whether every layer adds its linear map to a tape (<see cref="Pass.Tape"/>), as required by <see cref="Linearise"/>.
    /// </summary>
    public virtual bool IsLinearisable => false;

    /// <summary>
    /// Whether its gradients are the derivatives of its forward pass. With Gradient Equilibrium, boosting or stopped gradients they are
    /// not, and finite differences cannot reproduce them.
    /// </summary>
    public virtual bool HasTrueGradients => !_equilibrium.Enabled && !_boosting.Enabled;

    /// <summary>A forward pass that is recorded as a linear map from θ to the logits, without autograd.</summary>
    /// <param name="images"><c>[N, 3, H, W]</c>, normalised.</param>
    /// <param name="parameters">
    /// Tensors in place of <see cref="Parameters"/>, as in <see cref="Forward(Tensor, IReadOnlyList{Tensor}, NormStatistics)"/>; null:
    /// its own.
    /// </param>
    /// <param name="statistics">How batch norm behaves: one of the batch modes.</param>
    /// <returns>Its tensors belong to the caller's dispose scope.</returns>
    /// <exception cref="ArgumentException">The number of tensors differs from the number of parameters, or running statistics were
    /// requested.</exception>
    /// <exception cref="InvalidOperationException">A layer did not record its map.</exception>
    public LinearisedPass Linearise(Tensor images, IReadOnlyList<Tensor>? parameters, NormStatistics statistics)
    {
        if (statistics == NormStatistics.Running)
        {
            throw new ArgumentException("a linearised pass must normalise with batch statistics.", nameof(statistics));
        }

        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor start = TensorLayout.ChannelsLast(InFeatureType(images, statistics));
        var tape = new Tape(start, _trained.Value.Indices, scope);
        Pass pass = PassWith(parameters, statistics, tape);
        Tensor[] logits = Forward(start, pass);
        return new LinearisedPass(tape, logits, pass.Teacher).MoveToOuter(scope);
    }

    /// <summary>The network's cost as the published counters define it (<see cref="CostMeter"/>), measured in one forward pass.</summary>
    /// <param name="side">Height and width of an image, in pixels.</param>
    public NetworkCost Cost(int side)
    {
        using DisposeScope scope = NewDisposeScope();
        return CostOf(zeros([1, 3, side, side], Parameters[0].dtype, Parameters[0].device));
    }

    /// <summary>The cost of classifying an image, <c>[1, C', H, W]</c>, at each exit.</summary>
    internal NetworkCost CostOf(Tensor image)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        var meter = new CostMeter();
        var pass = new Pass(NormStatistics.Running) { Cost = meter };
        ExitCost[] exits = [.. ExitByExit(image, pass).Select(_ => new ExitCost(meter.Macs, meter.Parameters))];
        return new NetworkCost(exits, meter.Activations);
    }

    /// <summary>Block <paramref name="k"/>: from the features after block k − 1 to those after block k.</summary>
    /// <param name="k">0 … K − 1.</param>
    /// <param name="features">All that this block and later blocks and heads read, such as one tensor per scale, finest first; for block 0,
    /// the images alone. The first dimension of each is the batch dimension.</param>
    /// <param name="pass">Parameters and batch norm of this pass.</param>
    /// <returns>All that later blocks and heads read; the last is what this block's head reads. Early-exit execution
    /// (<see cref="EarlyExit"/>) drops rows from these tensors in place, so they must belong to the pass: the images, or tensors created
    /// in it.</returns>
    protected abstract Tensor[] Block(int k, Tensor[] features, Pass pass);

    /// <summary>Exit <paramref name="k"/>: from the features after block k to logits <c>[N, C]</c>.</summary>
    /// <param name="k">0 … K − 1.</param>
    /// <param name="features">What <see cref="Block"/> returned.</param>
    /// <param name="earlier">Logits <c>[N, C]</c> of exit k − 1, for exits that use them; null at the first.</param>
    /// <param name="pass">Parameters and batch norm of this pass.</param>
    protected abstract Tensor Exit(int k, Tensor[] features, Tensor? earlier, Pass pass);

    private Tensor InFeatureType(Tensor images, NormStatistics statistics)
        => statistics != NormStatistics.BatchAndUpdate || FeatureType is not { } type || images.dtype == type
            ? images
            : images.to_type(type);

    private Pass PassWith(IReadOnlyList<Tensor>? parameters, NormStatistics statistics, Tape? tape)
    {
        if (parameters is null)
        {
            return new Pass(statistics) { Tape = tape };
        }

        return parameters.Count == Parameters.Count
            ? new Pass(statistics, _trained.Value.Indices, parameters) { Tape = tape }
            : throw new ArgumentException($"{GetName()} has {Parameters.Count} parameters, not {parameters.Count}.", nameof(parameters));
    }

    private IEnumerable<Tensor> ExitByExit(Tensor images, Pass pass)
    {
        var walk = new ExitWalk(this, images, pass);
        for (int k = 0; k < Exits; k++)
        {
            yield return walk.Next();
        }
    }

    private sealed class ParameterList
    {
        public ParameterList((string Name, Parameter Parameter)[] named)
        {
            Names = [.. named.Select(entry => entry.Name)];
            Parameters = [.. named.Select(entry => entry.Parameter)];

            // By reference: TorchSharp compares tensors by value.
            Indices = Enumerable.Range(0, named.Length)
                .ToDictionary<int, Parameter, int>(index => named[index].Parameter, index => index, ReferenceEqualityComparer.Instance);
        }

        public IReadOnlyList<string> Names { get; }

        public IReadOnlyList<Parameter> Parameters { get; }

        public IReadOnlyDictionary<Parameter, int> Indices { get; }
    }
}
