using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones.Linearised;

/// <summary>A direction in the space of parameters.</summary>
public sealed class ParameterTangents
{
    private readonly IReadOnlyDictionary<Parameter, int> _indices;
    private readonly IReadOnlyList<Tensor?> _direction;

    internal ParameterTangents(IReadOnlyDictionary<Parameter, int> indices, IReadOnlyList<Tensor?> direction)
        => (_indices, _direction) = (indices, direction);

    /// <summary>The tangent of a parameter, of its shape; null where it does not change.</summary>
    public Tensor? this[Parameter parameter] => _direction[_indices[parameter]];
}

/// <summary>The gradient by the parameters, while it is summed up.</summary>
public sealed class ParameterCotangents
{
    private readonly IReadOnlyDictionary<Parameter, int> _indices;
    private readonly DisposeScope _scope;
    private readonly Tensor?[] _sums;

    internal ParameterCotangents(IReadOnlyDictionary<Parameter, int> indices, DisposeScope scope)
        => (_indices, _scope, _sums) = (indices, scope, new Tensor?[indices.Count]);

    /// <summary>∂/∂θ, one for each parameter; null where nothing was added.</summary>
    internal IReadOnlyList<Tensor?> Sums => _sums;

    /// <summary>
    /// Adds what reaches a parameter by one way, in the parameter's element type; the tensor, of the parameter's shape, is given away.
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
            _ = sum.add_(cotangent);
        }
    }
}
