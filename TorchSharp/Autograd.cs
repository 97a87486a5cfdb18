using Imta.MetaWeight.Native;

namespace TorchSharp;

public static partial class torch
{
    /// <summary>Operations until the result is disposed are not recorded.</summary>
    public static IDisposable no_grad() => new GradModeScope(false);

    /// <summary>Operations until the result is disposed are recorded.</summary>
    public static IDisposable enable_grad(bool enabled = true) => new GradModeScope(enabled);

    /// <summary>Whether operations are recorded on this thread.</summary>
    public static bool is_grad_enabled() => Runtime.GradMode;

    /// <summary>Reverse-mode differentiation.</summary>
    public static class autograd
    {
        /// <summary>d outputs / d inputs; null for an input without influence when <paramref name="allow_unused"/>.</summary>
        /// <param name="outputs">What is differentiated.</param>
        /// <param name="inputs">By what.</param>
        /// <param name="grad_outputs">A weight for each output, of its shape; null: ones, for outputs of one element.</param>
        /// <param name="retain_graph">Keep the graph for another call.</param>
        /// <param name="create_graph">Record the gradients' own computation, for a second differentiation.</param>
        /// <param name="allow_unused">An input without influence gives null instead of an error.</param>
        public static IList<Tensor> grad(IList<Tensor> outputs, IList<Tensor> inputs, IList<Tensor>? grad_outputs = null, bool retain_graph = false, bool create_graph = false, bool allow_unused = false)
        {
            nint[] results = TensorHandle.Gradients(Handles(outputs), grad_outputs is null ? null : Handles(grad_outputs), Handles(inputs), retain_graph, create_graph, allow_unused);
            GC.KeepAlive(outputs);
            GC.KeepAlive(inputs);
            GC.KeepAlive(grad_outputs);
            return Array.ConvertAll(results, handle => handle == 0 ? null! : new Tensor(handle));
        }
    }

    internal static nint[] Handles(IEnumerable<Tensor?> tensors) => [.. tensors.Select(tensor => tensor?.Handle ?? 0)];

    private sealed class GradModeScope : IDisposable
    {
        private readonly bool _before = Runtime.GradMode;

        public GradModeScope(bool enabled) => Runtime.GradMode = enabled;

        public void Dispose() => Runtime.GradMode = _before;
    }
}
