using Imta.MetaWeight.Backbones.Kernels;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Linearised;

/// <summary>
/// Records what the layers do in a forward pass: which map led from which tensors to which. Tensors are identified by reference, so a
/// layer must pass on the same objects that it was given.
/// </summary>
public sealed class Tape
{
    private readonly Dictionary<Tensor, int> _numbers = new(ReferenceEqualityComparer.Instance);
    private readonly List<Step> _steps = [];
    private readonly List<Variable> _variables = [];
    private readonly DisposeScope _scope;

    /// <param name="images">The input of the pass; it has no tangent.</param>
    /// <param name="indices">The index of each parameter of the network.</param>
    /// <param name="scope">Owns the maps' saved tensors.</param>
    internal Tape(Tensor images, IReadOnlyDictionary<Parameter, int> indices, DisposeScope scope)
    {
        (Indices, _scope) = (indices, scope);
        AddConstant(images);
    }

    internal IReadOnlyDictionary<Parameter, int> Indices { get; }

    internal IReadOnlyList<Step> Steps => _steps;

    internal IReadOnlyList<Variable> Variables => _variables;

    /// <summary>Records a layer.</summary>
    /// <param name="map">Its linear map; the tape takes ownership.</param>
    /// <param name="output">Its output.</param>
    /// <param name="inputs">Its inputs, apart from parameters.</param>
    /// <exception cref="InvalidOperationException">An input was not produced by a layer on the tape, or the output is on it
    /// already.</exception>
    public void Add(LinearMap map, Tensor output, params ReadOnlySpan<Tensor> inputs) => AddStep(map, [output], inputs);

    /// <summary>Records a layer with several outputs.</summary>
    internal void AddStep(TapeOperation map, Tensor[] outputs, ReadOnlySpan<Tensor> inputs)
    {
        var numbers = new int[inputs.Length];
        for (int i = 0; i < numbers.Length; i++)
        {
            numbers[i] = IndexOf(inputs[i]);
        }

        map.MoveTo(_scope);
        _steps.Add(new Step(map, numbers, Array.ConvertAll(outputs, Register)));
    }

    /// <summary>
    /// Adds a tensor that was not produced by a layer on the tape and has no tangent: the output of frozen layers, or a stopped gradient.
    /// </summary>
    /// <exception cref="InvalidOperationException">It is on the tape already.</exception>
    public void AddConstant(Tensor tensor)
    {
        int number = Register(tensor);
        _variables[number] = _variables[number] with { IsConstant = true };
    }

    /// <summary>Records that a tensor is a slice of a wider one along the channels, so that its tangent is computed there too.</summary>
    /// <param name="slice">An output on the tape.</param>
    /// <param name="whole">The wider tensor, an output on the tape.</param>
    /// <param name="start">The slice's first channel in it.</param>
    internal void AddSlice(Tensor slice, Tensor whole, long start)
    {
        int number = IndexOf(slice);
        _variables[number] = _variables[number] with { Whole = IndexOf(whole), Start = start };
    }

    /// <summary>
    /// Records that a tensor has reserved channels after its own (<see cref="ReservedChannels"/>), so that its tangent has them too.
    /// </summary>
    /// <param name="whole">An output on the tape.</param>
    /// <param name="reserved">The number of reserved channels.</param>
    /// <param name="extended">The tensor on the tape whose reserved channels it uses; null: none.</param>
    internal void ReserveChannels(Tensor whole, long reserved, Tensor? extended)
    {
        int number = IndexOf(whole);
        _variables[number] = _variables[number] with { ReservedChannels = reserved, Extends = extended is null ? null : IndexOf(extended) };
    }

    internal int IndexOf(Tensor tensor) => _numbers.TryGetValue(tensor, out int number)
        ? number
        : throw new InvalidOperationException(
            $"a tensor of shape [{string.Join(", ", tensor.Sizes())}] reached a layer, but no layer on the tape "
            + "produced it: every operator in between must add its map.");

    private int Register(Tensor tensor)
    {
        if (!_numbers.TryAdd(tensor, _variables.Count))
        {
            throw new InvalidOperationException(
                $"a layer's output of shape [{string.Join(", ", tensor.Sizes())}] is already on the tape: a layer that "
                + "does nothing adds no map, and one that does something creates a tensor of its own.");
        }

        _variables.Add(new Variable(tensor.Sizes(), tensor.dtype));
        return _variables.Count - 1;
    }

    /// <summary>One recorded layer.</summary>
    internal sealed record Step(TapeOperation Map, int[] Inputs, int[] Outputs);

    /// <summary>A tensor of the pass.</summary>
    internal sealed record Variable(long[] Shape, ScalarType Type)
    {
        /// <summary>The index of the tensor it is a slice of, and its first channel there.</summary>
        public int? Whole { get; init; }

        public long Start { get; init; }

        /// <summary>Whether it has neither tangent nor cotangent.</summary>
        public bool IsConstant { get; init; }

        /// <summary>Channels reserved after its own, for later features.</summary>
        public long ReservedChannels { get; init; }

        /// <summary>The index of the tensor whose reserved channels it uses.</summary>
        public int? Extends { get; init; }
    }
}
