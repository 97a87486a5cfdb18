namespace Imta.MetaWeight.Backbones.Linearised;

/// <summary>
/// A recorded forward pass, as the linear map from θ to the logits: applied to a direction it gives their tangents, transposed
/// it gives gradients. Both can be computed any number of times. Its saved tensors belong to the scope it was created in.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
public sealed class LinearisedPass
{
    private readonly Tape _tape;
    private readonly int[] _outputs;
    private readonly bool[] _reaches; // whether an output of a step affects a logit
    private readonly int[] _lastUse; // of each tensor, as a step index

    internal LinearisedPass(Tape tape, Tensor[] logits, Tensor? teacher)
    {
        (_tape, Logits, Teacher) = (tape, logits, teacher);
        _outputs = [.. logits.Select(tape.IndexOf)];
        _lastUse = new int[tape.Variables.Count];
        var needed = new bool[tape.Variables.Count];
        Array.ForEach(_outputs, output => (needed[output], _lastUse[output]) = (true, int.MaxValue));
        _reaches = new bool[tape.Steps.Count];
        for (int s = _reaches.Length - 1; s >= 0; s--)
        {
            Tape.Step step = tape.Steps[s];
            _reaches[s] = step.Outputs.Any(output => needed[output]);
            foreach (int input in step.Inputs)
            {
                needed[input] |= _reaches[s];
                _lastUse[input] = Math.Max(_lastUse[input], _reaches[s] ? s : -1);
            }
        }
    }

    /// <summary>Detached logits, K × <c>[N, C]</c>.</summary>
    public IReadOnlyList<Tensor> Logits { get; }

    /// <summary>The detached logits <c>[N, C]</c> that distillation imitates; null: those of the last exit.</summary>
    public Tensor? Teacher { get; }

    /// <summary>J·u: the directional derivative of the logits along a direction of θ, K × <c>[N, C]</c>.</summary>
    /// <param name="direction">u, one per parameter; null: the parameter does not move.</param>
    public Tensor[] Tangent(IReadOnlyList<Tensor?> direction)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        var along = new ParameterTangents(_tape.Indices, direction);
        var tangents = new Tensor?[_tape.Variables.Count];
        for (int s = 0; s < _tape.Steps.Count; s++)
        {
            if (_reaches[s])
            {
                Apply(s, along, tangents);
            }
        }

        return [.. _outputs.Select((output, k) => (tangents[output] ?? zeros_like(Logits[k])).MoveToOuterDisposeScope())];
    }

    /// <summary>
    /// Jᵀ·g: the gradient with respect to θ of Σ_k ⟨g_k, z_k⟩, one per parameter; null if these logits do not depend on it.
    /// </summary>
    /// <param name="byLogits">
    /// g, K × <c>[N, C]</c>; null: that exit does not contribute, and layers that lead only to it are skipped. Ownership of the tensors is
    /// transferred.
    /// </param>
    /// <param name="last">Whether this is the last use: saved tensors are freed along the way.</param>
    public IReadOnlyList<Tensor?> Gradient(IReadOnlyList<Tensor?> byLogits, bool last = false)
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        var gradient = new ParameterCotangents(_tape.Indices, scope);
        var cotangents = new Tensor?[_tape.Variables.Count];
        for (int k = 0; k < _outputs.Length; k++)
        {
            cotangents[_outputs[k]] = byLogits[k];
        }

        for (int s = _tape.Steps.Count - 1; s >= 0; s--)
        {
            Transpose(s, gradient, cotangents, scope);
            if (last)
            {
                _tape.Steps[s].Map.Dispose();
            }
        }

        return [.. gradient.Sums.Select(sum => sum?.MoveToOuterDisposeScope())];
    }

    /// <summary>Moves everything the pass keeps to the enclosing scope.</summary>
    internal LinearisedPass MoveToOuter(DisposeScope scope)
    {
        foreach (Tensor logits in Logits)
        {
            scope.MoveToOuter(logits);
        }

        if (Teacher is { } teacher)
        {
            scope.MoveToOuter(teacher);
        }

        foreach (Tape.Step step in _tape.Steps)
        {
            step.Map.MoveToOuter(scope);
        }

        return this;
    }

    private void Apply(int s, ParameterTangents along, Tensor?[] tangents)
    {
        Tape.Step step = _tape.Steps[s];
        using (DisposeScope ofStep = NewDisposeScope())
        {
            Tensor?[] destinations = [.. step.Outputs.Select(output => Destination(output, tangents))];
            IReadOnlyList<Tensor?> all = step.Map.Tangents([.. step.Inputs.Select(input => tangents[input])], along, destinations);
            for (int i = 0; i < destinations.Length; i++)
            {
                tangents[step.Outputs[i]] = Delivered(all[i], destinations[i])?.MoveToOuterDisposeScope();
            }
        }

        foreach (int input in step.Inputs)
        {
            if (_lastUse[input] == s)
            {
                tangents[input]?.Dispose();
                tangents[input] = null;
            }
        }
    }

    /// <summary>
    /// A tangent at its destination, if it has one; else as an alias of its own, because a map may return an input's tangent or a
    /// parameter's.
    /// </summary>
    private static Tensor? Delivered(Tensor? tangent, Tensor? destination)
    {
        if (destination is null || ReferenceEquals(tangent, destination))
        {
            return destination ?? tangent?.detach();
        }

        _ = tangent is null ? destination.zero_() : destination.copy_(tangent);
        return destination;
    }

    /// <summary>Where a tangent belongs: its slice of the wider tensor, which is created for the first slice; null: anywhere.</summary>
    private Tensor? Destination(int output, Tensor?[] tangents)
    {
        Tape.Variable variable = _tape.Variables[output];
        if (variable.Whole is not { } whole)
        {
            return tangents[output];
        }

        tangents[whole] ??= Wide(_tape.Variables[whole], tangents).MoveToOuterDisposeScope();
        return tangents[whole]!.narrow(1, variable.Start, variable.Shape[1]);
    }

    /// <summary>A tangent with as many reserved channels as its tensor has, or one in the reserved channels of another tangent.</summary>
    private Tensor Wide(Tape.Variable variable, Tensor?[] tangents)
    {
        long channels = variable.Shape[1];
        if (variable.Extends is { } extended)
        {
            return TensorLayout.ExtendChannels(tangents[extended]!, channels);
        }

        long[] shape = [.. variable.Shape];
        shape[1] += variable.ReservedChannels;
        return TensorLayout.Empty(shape, variable.Type, Logits[0].device).narrow(1, 0, channels);
    }

    private void Transpose(int s, ParameterCotangents gradient, Tensor?[] cotangents, DisposeScope scope)
    {
        Tape.Step step = _tape.Steps[s];
        Tensor?[] outputs = [.. step.Outputs.Select(output => cotangents[output])];
        if (outputs.All(output => output is null))
        {
            return;
        }

        using DisposeScope ofStep = NewDisposeScope();
        foreach (int output in step.Outputs)
        {
            if (cotangents[output] is { } cotangent)
            {
                ofStep.Attach(cotangent); // freed with the step, unless the map returns it
                cotangents[output] = null;
            }
        }

        bool[] needed = [.. step.Inputs.Select(input => !_tape.Variables[input].IsConstant)];
        IReadOnlyList<Tensor?> given = step.Map.Cotangents(outputs, needed, [.. step.Inputs.Select(input => cotangents[input])], gradient);
        for (int i = 0; i < given.Count; i++)
        {
            if (!needed[i])
            {
                continue;
            }

            ref Tensor? sum = ref cotangents[step.Inputs[i]];
            if (sum is not null && given[i] is { } more)
            {
                if (!ReferenceEquals(sum, more))
                {
                    TensorLayout.AddTo(sum, more);
                }
            }
            else
            {
                sum ??= given[i]?.MoveToOtherDisposeScope(scope);
            }
        }
    }
}
