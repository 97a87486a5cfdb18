using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Linearised;

/// <summary>A direction in parameter space.</summary>
public sealed class ParameterTangents
{
    private readonly IReadOnlyDictionary<Parameter, int> _indices;
    private readonly IReadOnlyList<Tensor?> _direction;

    internal ParameterTangents(IReadOnlyDictionary<Parameter, int> indices, IReadOnlyList<Tensor?> direction)
        => (_indices, _direction) = (indices, direction);

    /// <summary>The tangent of a parameter, of its shape; null if it does not change.</summary>
    public Tensor? this[Parameter parameter] => _direction[_indices[parameter]];
}

/// <summary>The gradient with respect to the parameters while it is accumulated.</summary>
public sealed class ParameterCotangents
{
    private readonly IReadOnlyDictionary<Parameter, int> _indices;
    private readonly DisposeScope _scope;
    private readonly Tensor?[] _sums;

    internal ParameterCotangents(IReadOnlyDictionary<Parameter, int> indices, DisposeScope scope)
        => (_indices, _scope, _sums) = (indices, scope, new Tensor?[indices.Count]);

    /// <summary>∂/∂θ, one per parameter; null if nothing was added.</summary>
    internal IReadOnlyList<Tensor?> Sums => _sums;

    /// <summary>
    /// Adds one contribution to a parameter's gradient, converted to the parameter's element type; ownership of the tensor, of the
    /// parameter's shape, is transferred.
    /// </summary>
    public void Add(Parameter parameter, Tensor cotangent)
    {
        ref Tensor? sum = ref _sums[_indices[parameter]];
        cotangent = cotangent.dtype == parameter.dtype ? cotangent : cotangent.to_type(parameter.dtype);
        if (sum is null)
        {
            sum = cotangent.MoveToOtherDisposeScope(_scope);
        }
        else
        {
            _ = sum.add_(cotangent, One);
        }
    }
}
