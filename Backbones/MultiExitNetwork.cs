using Imta.MetaWeight.Backbones.Linearised;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones;

/// <summary>
/// A network of K blocks with an exit behind each. This is all that the bilevel loop needs from a backbone: its parameters, and a
/// forward pass with these or with others in their places.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
public abstract class MultiExitNetwork : NamedModule
{
    private readonly Lazy<ParameterList> _parameters;

    /// <summary>A network with nothing in it yet; the derived class registers its parts.</summary>
    /// <param name="name">The architecture's name.</param>
    protected MultiExitNetwork(string name)
        : base(name) => _parameters = new Lazy<ParameterList>(() => new ParameterList([.. named_parameters()]));

    /// <summary>K, the number of blocks and of exits.</summary>
    public abstract int Exits { get; }

    /// <summary>C, the number of classes.</summary>
    public abstract int Classes { get; }

    /// <summary>θ: every parameter, in the order that lists of gradients and substitutes follow.</summary>
    public IReadOnlyList<Parameter> Parameters => _parameters.Value.Parameters;

    /// <summary>The name of each of <see cref="Parameters"/>, as PyTorch's state dictionary has it.</summary>
    public IReadOnlyList<string> ParameterNames => _parameters.Value.Names;

    /// <summary>Logits of every exit, K × <c>[N, C]</c>, with the network's own parameters.</summary>
    /// <param name="images"><c>[N, 3, H, W]</c>, normalised.</param>
    /// <param name="statistics">How batch norm behaves.</param>
    public Tensor[] Forward(Tensor images, NormStatistics statistics) => Forward(images, new Pass(statistics));

    /// <summary>Logits of every exit, K × <c>[N, C]</c>, with <paramref name="parameters"/> in the places of <see cref="Parameters"/>.</summary>
    /// <param name="images"><c>[N, 3, H, W]</c>, normalised.</param>
    /// <param name="parameters">One tensor for each of <see cref="Parameters"/>, in their order and shapes; they may have a history.</param>
    /// <param name="statistics">How batch norm behaves.</param>
    /// <exception cref="ArgumentException">Not as many tensors as parameters.</exception>
    public Tensor[] Forward(Tensor images, IReadOnlyList<Tensor> parameters, NormStatistics statistics)
    {
        return Forward(images, PassWith(parameters, statistics, tape: null));
    }

    /// <summary>Whether every layer adds its linear map to a tape (<see cref="Pass.Tape"/>), so that <see cref="Linearise"/> can be called.
    /// It needs the native library; without, there is no linearised pass.</summary>
    public virtual bool IsLinearisable => false;

    /// <summary>A forward pass that is taken down as a linear map from θ to the logits, without autograd.</summary>
    /// <param name="images"><c>[N, 3, H, W]</c>, normalised.</param>
    /// <param name="parameters">Tensors in the places of <see cref="Parameters"/>, as in <see cref="Forward(Tensor, IReadOnlyList{Tensor}, NormStatistics)"/>; null: its own.</param>
    /// <param name="statistics">How batch norm behaves: by the batch, one way or the other.</param>
    /// <returns>What it keeps belongs to the caller's dispose scope.</returns>
    /// <exception cref="ArgumentException">Not as many tensors as parameters, or running statistics.</exception>
    /// <exception cref="InvalidOperationException">A layer did not add its map.</exception>
    public LinearisedPass Linearise(Tensor images, IReadOnlyList<Tensor>? parameters, NormStatistics statistics)
    {
        if (statistics == NormStatistics.Running)
        {
            throw new ArgumentException("a linearised pass normalises by the batch's statistics.", nameof(statistics));
        }

        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        Tensor start = Layout.ChannelsLast(images);
        var tape = new Tape(start, _parameters.Value.Indices, scope);
        Tensor[] logits = Forward(start, PassWith(parameters, statistics, tape));
        return new LinearisedPass(tape, logits).MoveToOuter(scope);
    }

    /// <summary>What the network costs by the published counters' rule (<see cref="CostMeter"/>), found by one forward pass.</summary>
    /// <param name="side">Height and width of an image, in pixels.</param>
    public NetworkCost Cost(int side)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        var meter = new CostMeter();
        Tensor image = zeros([1, 3, side, side], Parameters[0].dtype, Parameters[0].device);
        var pass = new Pass(NormStatistics.Running) { Cost = meter };
        ExitCost[] exits = [.. ExitByExit(image, pass).Select(_ => new ExitCost(meter.Macs, meter.Parameters))];
        return new NetworkCost(exits, meter.Activations);
    }

    /// <summary>Block <paramref name="k"/>: from the features behind block k − 1 to those behind block k.</summary>
    /// <param name="k">0 … K − 1.</param>
    /// <param name="features">One tensor a scale, the finest first; for block 0 the images alone.</param>
    /// <param name="pass">Parameters and batch norm of this pass.</param>
    protected abstract Tensor[] Block(int k, Tensor[] features, Pass pass);

    /// <summary>Exit <paramref name="k"/>: from the features behind block k to logits <c>[N, C]</c>.</summary>
    /// <param name="k">0 … K − 1.</param>
    /// <param name="features">One tensor a scale, the finest first.</param>
    /// <param name="pass">Parameters and batch norm of this pass.</param>
    protected abstract Tensor Exit(int k, Tensor[] features, Pass pass);

    private Pass PassWith(IReadOnlyList<Tensor>? parameters, NormStatistics statistics, Tape? tape)
    {
        if (parameters is null)
        {
            return new Pass(statistics) { Tape = tape };
        }

        return parameters.Count == Parameters.Count
            ? new Pass(statistics, _parameters.Value.Indices, parameters) { Tape = tape }
            : throw new ArgumentException($"{GetName()} has {Parameters.Count} parameters, not {parameters.Count}.", nameof(parameters));
    }

    private Tensor[] Forward(Tensor images, Pass pass) => [.. ExitByExit(images, pass)];

    private IEnumerable<Tensor> ExitByExit(Tensor images, Pass pass)
    {
        Tensor[] features = [images];
        for (int k = 0; k < Exits; k++)
        {
            features = InScope(() => Block(k, features, pass));
            yield return InScope(() => [Exit(k, features, pass)])[0];
        }
    }

    /// <summary>What comes out is the caller's; everything on the way goes, but for what tape and autograd hold on to.</summary>
    private static Tensor[] InScope(Func<Tensor[]> compute)
    {
        using DisposeScope scope = NewDisposeScope();
        return Array.ConvertAll(compute(), scope.MoveToOuter);
    }

    private sealed class ParameterList
    {
        public ParameterList((string Name, Parameter Parameter)[] named)
        {
            Names = [.. named.Select(entry => entry.Name)];
            Parameters = [.. named.Select(entry => entry.Parameter)];

            // By reference: to TorchSharp, equal tensors are tensors of equal values.
            Indices = Enumerable.Range(0, named.Length).ToDictionary<int, Parameter, int>(index => named[index].Parameter, index => index, ReferenceEqualityComparer.Instance);
        }

        public IReadOnlyList<string> Names { get; }

        public IReadOnlyList<Parameter> Parameters { get; }

        public IReadOnlyDictionary<Parameter, int> Indices { get; }
    }
}
