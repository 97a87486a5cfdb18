using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// Gradients by libtorch's autograd, with exceptions. TorchSharp's <c>autograd.grad</c> ends the process (SIGABRT) where libtorch refuses; its
/// <c>autograd.backward</c> does not. So gradients are made by that, out of the <c>.grad</c> of the inputs, which stays what it was.
/// </summary>
public static class Autograd
{
    // .grad of an input is in use while its gradient is made.
    private static readonly Lock OfInputs = new();

    /// <summary>∂⟨<paramref name="byOutputs"/>, outputs⟩/∂inputs.</summary>
    /// <param name="what">Names the outputs in errors, such as "the meta objective".</param>
    /// <param name="outputs">What is differentiated.</param>
    /// <param name="byOutputs">A weight for each element of each output, of its shape; null: 1, of outputs with one element.</param>
    /// <param name="inputs">By what; each has to ask for gradients (<c>requires_grad</c>).</param>
    /// <param name="retainGraph">Whether the outputs are to be differentiated once more.</param>
    /// <param name="createGraph">
    /// Whether the gradients themselves are; it implies <paramref name="retainGraph"/>, and costs one more backward pass.
    /// </param>
    /// <returns>One for each input, of its shape; null where no output depends on it.</returns>
    /// <exception cref="InvalidOperationException">An output has no history, or it cannot be followed (used and freed before, or overwritten).</exception>
    /// <exception cref="ArgumentException">A weight is missing or has another shape than its output, or an input asks for no gradient or comes twice.</exception>
    /// <exception cref="ExternalException">There is not enough memory.</exception>
    public static IReadOnlyList<Tensor?> Gradients(
        string what,
        IReadOnlyList<Tensor> outputs,
        IReadOnlyList<Tensor>? byOutputs,
        IReadOnlyList<Tensor> inputs,
        bool retainGraph = false,
        bool createGraph = false)
    {
        Check(what, outputs, byOutputs, inputs);
        Tensor[] weights = [.. byOutputs ?? [.. outputs.Select(output => ones_like(output))]];
        IReadOnlyList<Tensor?> gradients = Backward(what, outputs, weights, inputs, retainGraph || createGraph);
        if (!createGraph)
        {
            return gradients;
        }

        // What has gone well once goes well again: backward with create_graph would leave cycles of references, and warns of them.
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
        using Lock.Scope alone = OfInputs.EnterScope();
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

    private static void Check(string what, IReadOnlyList<Tensor> outputs, IReadOnlyList<Tensor>? byOutputs, IReadOnlyList<Tensor> inputs)
    {
        if (byOutputs is not null && byOutputs.Count != outputs.Count)
        {
            throw new ArgumentException($"{what}: {outputs.Count} outputs need {outputs.Count} weights, not {byOutputs.Count}.", nameof(byOutputs));
        }

        if (outputs.Count == 0)
        {
            throw new InvalidOperationException($"{what} depends on nothing that is trained: none of the registered parameters is used.");
        }

        for (int k = 0; k < outputs.Count; k++)
        {
            Tensor output = outputs[k];
            if (!output.requires_grad)
            {
                throw new InvalidOperationException(
                    $"{what} (shape {Shape(output)}) depends on nothing that is trained: "
                    + "it has no history, as after detach(), under no_grad() or where it is a constant.");
            }

            if (byOutputs is null ? output.numel() != 1 : !byOutputs[k].shape.AsSpan().SequenceEqual(output.shape))
            {
                string expected = byOutputs is null ? "has to be one number" : $"takes weights of that shape, not {Shape(byOutputs[k])}";
                throw new ArgumentException($"{what} has the shape {Shape(output)}; it {expected}.", nameof(outputs));
            }
        }

        if (inputs.Count == 0 || inputs.Distinct<Tensor>(ReferenceEqualityComparer.Instance).Count() < inputs.Count)
        {
            throw new ArgumentException(
                $"{what} cannot be differentiated by {(inputs.Count == 0 ? "nothing" : "one input twice")}.", nameof(inputs));
        }

        for (int k = 0; k < inputs.Count; k++)
        {
            if (!inputs[k].requires_grad)
            {
                throw new ArgumentException(
                    $"{what} cannot be differentiated by input {k} (shape {Shape(inputs[k])}), which has no requires_grad.", nameof(inputs));
            }
        }
    }

    private static string Shape(Tensor tensor) => $"[{string.Join(", ", tensor.shape)}]";
}
