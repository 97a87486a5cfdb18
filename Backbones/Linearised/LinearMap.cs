namespace Imta.MetaWeight.Backbones.Linearised;

/// <summary>
/// The operation of one step of a recorded pass, with its saved tensors: a <see cref="LinearMap"/>, or one with several outputs.
/// </summary>
public abstract class TapeOperation : IDisposable
{
    private readonly List<Tensor> _kept = [];

    private protected TapeOperation()
    {
    }

    /// <summary>Frees the map's saved tensors; it cannot be used afterwards.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>The tangent of each output, given a destination or null for each; a map may ignore destinations.</summary>
    internal abstract IReadOnlyList<Tensor?> Tangents(
        IReadOnlyList<Tensor?> inputs, ParameterTangents direction, IReadOnlyList<Tensor?> destinations);

    /// <summary>The cotangent of each input; at least one output cotangent is not null.</summary>
    internal abstract IReadOnlyList<Tensor?> Cotangents(
        IReadOnlyList<Tensor?> outputs, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient);

    /// <summary>Attaches the tensors of the map to a dispose scope.</summary>
    internal void MoveTo(DisposeScope scope) => _kept.ForEach(tensor => tensor.MoveToOtherDisposeScope(scope));

    /// <summary>Moves the tensors of the map to the outer dispose scope.</summary>
    internal void MoveToOuter(DisposeScope scope) => _kept.ForEach(tensor => scope.MoveToOuter(tensor));

    /// <inheritdoc cref="Dispose()"/>
    protected virtual void Dispose(bool disposing) => _kept.ForEach(tensor => tensor.Dispose());

    /// <summary>
    /// An alias of a value that the map will need: it stays valid when a scope disposes of the value itself.
    /// </summary>
    protected Tensor Keep(Tensor value)
    {
        Tensor alias = value.detach();
        _kept.Add(alias);
        return alias;
    }
}

/// <summary>
/// The linearisation of one layer in a recorded pass: from small changes of its inputs and parameters to the
/// change of its output (the tangent), and transposed, from ∂/∂output to ∂/∂inputs and ∂/∂parameters (the cotangent). A layer adds its
/// map to the <see cref="Tape"/> where it computes its value, so all three are defined together. Tangent and cotangent run without
/// autograd.
/// </summary>
/// <remarks>
/// The two must be adjoint: ⟨Tangent(u), g⟩ = ⟨u, Cotangent(g)⟩ for every u and g. Testing this finds nearly every mistake.
/// </remarks>
public abstract class LinearMap : TapeOperation
{
    /// <summary>
    /// The tangent of the output, which may be an input's or a parameter's tangent itself; null: the output does not change.
    /// </summary>
    /// <param name="inputs">
    /// The tangent of each input, in the order they were added to the tape; null if an input does not change.
    /// </param>
    /// <param name="direction">The tangent of each parameter, if any.</param>
    /// <param name="destination">
    /// Where the result belongs, such as the output's slice of a wider tensor; or null. A map that does not write there returns a tensor of
    /// its own, which is copied.
    /// </param>
    public abstract Tensor? Tangent(IReadOnlyList<Tensor?> inputs, ParameterTangents direction, Tensor? destination);

    /// <summary>The cotangent of each input, given the output's; those of parameters are added to <paramref name="gradient"/>.</summary>
    /// <param name="output">∂/∂output, of the output's shape; the map may pass it on, but must not modify it.</param>
    /// <param name="needed">Whether each input's cotangent is needed.</param>
    /// <param name="sums">
    /// The cotangent accumulated so far for each input, or null; a map may add to it in place and return it.
    /// </param>
    /// <param name="gradient">Accumulates ∂/∂parameter.</param>
    /// <returns>
    /// One per input; null: zero, or not needed. The caller owns them and may add to them in place: no two may share memory.
    /// </returns>
    public abstract IReadOnlyList<Tensor?> Cotangent(
        Tensor output, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient);

    internal sealed override IReadOnlyList<Tensor?> Tangents(
        IReadOnlyList<Tensor?> inputs, ParameterTangents direction, IReadOnlyList<Tensor?> destinations)
        => [Tangent(inputs, direction, destinations[0])];

    internal sealed override IReadOnlyList<Tensor?> Cotangents(
        IReadOnlyList<Tensor?> outputs, IReadOnlyList<bool> needed, IReadOnlyList<Tensor?> sums, ParameterCotangents gradient)
        => Cotangent(outputs[0]!, needed, sums, gradient);
}
