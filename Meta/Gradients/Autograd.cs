using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// Gradients from libtorch's autograd, with errors as exceptions. TorchSharp's <c>autograd.grad</c> aborts the process (SIGABRT) on
/// libtorch errors; its <c>autograd.backward</c> does not. Gradients are therefore computed with the latter and taken from the inputs'
/// <c>.grad</c>, which is restored.
/// </summary>
public static class Autograd
{
    // An input's .grad is in use while its gradient is computed.
    private static readonly Lock InputGradientLock = new();

    /// <summary>∂⟨<paramref name="gradOutputs"/>, outputs⟩/∂inputs.</summary>
    /// <param name="what">Name of the outputs for error messages, such as "the meta objective".</param>
    /// <param name="outputs">The tensors to differentiate.</param>
    /// <param name="gradOutputs">The gradient with respect to each output, of its shape; null: 1, for scalar outputs.</param>
    /// <param name="inputs">The tensors to differentiate with respect to; each must have <c>requires_grad</c> set.</param>
    /// <param name="retainGraph">Whether the outputs will be differentiated again.</param>
    /// <param name="createGraph">
    /// Whether the gradients themselves will be differentiated; implies <paramref name="retainGraph"/> and costs another backward pass.
    /// </param>
    /// <returns>One per input, of its shape; null if no output depends on it.</returns>
    /// <exception cref="InvalidOperationException">There is no output, or one has no autograd history, or its graph is unusable (already
    /// freed, or overwritten).</exception>
    /// <exception cref="ArgumentException">An output gradient is missing or has the wrong shape; or there is no input, or one does not
    /// require a gradient or is given twice.</exception>
    /// <exception cref="ExternalException">Out of memory.</exception>
    public static IReadOnlyList<Tensor?> Gradients(
        string what,
        IReadOnlyList<Tensor> outputs,
        IReadOnlyList<Tensor>? gradOutputs,
        IReadOnlyList<Tensor> inputs,
        bool retainGraph = false,
        bool createGraph = false)
    {
        Check(what, outputs, gradOutputs, inputs);
        Tensor[] weights = [.. gradOutputs ?? [.. outputs.Select(output => ones_like(output))]];
        IReadOnlyList<Tensor?> gradients = Backward(what, outputs, weights, inputs, retainGraph || createGraph);
        if (!createGraph)
        {
            return gradients;
        }

        // grad should not fail here: backward just succeeded. With create_graph, backward creates reference cycles, and warns about them.
        int[] reached = [.. Enumerable.Range(0, inputs.Count).Where(k => gradients[k] is not null)];
        var differentiable = new Tensor?[inputs.Count];
        IList<Tensor> again = reached.Length == 0 ? []
            : autograd.grad([.. outputs], [.. reached.Select(k => inputs[k])], weights, retain_graph: true, create_graph: true);
        for (int k = 0; k < reached.Length; k++)
        {
            gradients[reached[k]]!.Dispose();
            differentiable[reached[k]] = again[k];
        }

        return differentiable;
    }

    private static IReadOnlyList<Tensor?> Backward(
        string what, IReadOnlyList<Tensor> outputs, Tensor[] weights, IReadOnlyList<Tensor> inputs, bool retainGraph)
    {
        using Lock.Scope exclusive = InputGradientLock.EnterScope();
        Tensor?[] before = [.. inputs.Select(Take)];
        try
        {
            autograd.backward([.. outputs], weights, retainGraph, create_graph: false, [.. inputs]);
            return [.. inputs.Select(Take)];
        }
        catch (ExternalException e) when (!e.Message.Contains("memory", StringComparison.OrdinalIgnoreCase))
        {
            throw new InvalidOperationException($"the gradient of {what} cannot be computed: {e.Message.Split('\n')[0].Trim()}", e);
        }
        finally
        {
            for (int k = 0; k < before.Length; k++)
            {
                inputs[k].grad = before[k];
                before[k]?.Dispose();
            }
        }
    }

    private static Tensor? Take(Tensor input)
    {
        Tensor? gradient = input.grad;
        if (gradient is not null)
        {
            input.grad = null;
        }

        return gradient;
    }

    private static void Check(string what, IReadOnlyList<Tensor> outputs, IReadOnlyList<Tensor>? gradOutputs, IReadOnlyList<Tensor> inputs)
    {
        if (gradOutputs is not null && gradOutputs.Count != outputs.Count)
        {
            throw new ArgumentException(
                $"{what}: {outputs.Count} outputs need {outputs.Count} weights, not {gradOutputs.Count}.", nameof(gradOutputs));
        }

        if (outputs.Count == 0)
        {
            throw new InvalidOperationException($"no trainable parameter affects {what}: none of the registered parameters is used.");
        }

        for (int k = 0; k < outputs.Count; k++)
        {
            Tensor output = outputs[k];
            if (!output.requires_grad)
            {
                throw new InvalidOperationException(
                    $"no trainable parameter affects {what} (shape {ShapeText(output)}): "
                    + "there is no autograd history, as after detach(), under no_grad(), or for a constant.");
            }

            if (gradOutputs is null ? output.numel() != 1 : !gradOutputs[k].shape.AsSpan().SequenceEqual(output.shape))
            {
                string expected = gradOutputs is null ? "a scalar is needed" : $"its weights have the shape {ShapeText(gradOutputs[k])}";
                throw new ArgumentException($"the shape of {what} is {ShapeText(output)}, but {expected}.", nameof(outputs));
            }
        }

        if (inputs.Count == 0 || inputs.Distinct<Tensor>(ReferenceEqualityComparer.Instance).Count() < inputs.Count)
        {
            throw new ArgumentException(
                $"{what} cannot be differentiated with respect to {(inputs.Count == 0 ? "nothing" : "one input twice")}.", nameof(inputs));
        }

        for (int k = 0; k < inputs.Count; k++)
        {
            if (!inputs[k].requires_grad)
            {
                throw new ArgumentException(
                    $"{what} cannot be differentiated with respect to input {k} (shape {ShapeText(inputs[k])}), which does not have "
                        + "requires_grad set.", nameof(inputs));
            }
        }
    }
}
