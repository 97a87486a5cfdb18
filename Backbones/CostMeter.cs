namespace Imta.MetaWeight.Backbones;

/// <summary>The cost of a prediction at an exit, including the blocks and heads of earlier exits.</summary>
/// <param name="Macs">MACs for one image.</param>
/// <param name="Parameters">Parameters involved.</param>
public readonly record struct ExitCost(long Macs, long Parameters);

/// <summary>The costs of a network for images of one size.</summary>
/// <param name="Exits">The K exits.</param>
/// <param name="Activations">Output elements of all layers for one image: what a forward pass in training mode stores.</param>
public sealed record NetworkCost(IReadOnlyList<ExitCost> Exits, long Activations);

/// <summary>
/// Counts the cost of a forward pass, layer by layer, as the published counters do: a convolution costs a multiply-add for
/// each weight at each pixel of its output (its bias nothing), a linear layer its weights and its bias, ReLU one for each element,
/// pooling one for each element of the kernel at each element of the output; batch norm, concatenation and interpolation cost nothing.
/// </summary>
public sealed class CostMeter
{
    /// <summary>MACs so far, for one image.</summary>
    public long Macs { get; private set; }

    /// <summary>Parameters of the layers so far.</summary>
    public long Parameters { get; private set; }

    /// <summary>Elements of the layers' outputs so far, for one image.</summary>
    public long Activations { get; private set; }

    /// <summary>A convolution.</summary>
    /// <param name="weight"><c>[O, I/groups, h, w]</c>.</param>
    /// <param name="bias"><c>[O]</c>, or null.</param>
    /// <param name="output"><c>[N, O, H, W]</c>.</param>
    public void Convolution(Tensor weight, Tensor? bias, Tensor output)
        => Add(weight.numel() * output.shape[2] * output.shape[3], weight.numel() + (bias?.numel() ?? 0), output);

    /// <summary>A linear layer.</summary>
    /// <param name="weight"><c>[O, I]</c>.</param>
    /// <param name="bias"><c>[O]</c>.</param>
    /// <param name="output"><c>[N, O]</c>.</param>
    public void Linear(Tensor weight, Tensor bias, Tensor output)
        => Add(weight.numel() + bias.numel(), weight.numel() + bias.numel(), output);

    /// <summary>An element-wise layer, such as ReLU.</summary>
    /// <param name="output"><c>[N, …]</c>.</param>
    public void Elementwise(Tensor output) => Add(PerImage(output), 0, output);

    /// <summary>Average or max pooling with a square kernel.</summary>
    /// <param name="kernel">The kernel size.</param>
    /// <param name="output"><c>[N, C, H, W]</c>.</param>
    public void Pooling(long kernel, Tensor output) => Add(PerImage(output) * kernel * kernel, 0, output);

    /// <summary>A layer whose operations are not counted: batch norm, concatenation, interpolation.</summary>
    /// <param name="parameters">Its parameters.</param>
    /// <param name="output"><c>[N, …]</c>.</param>
    public void Uncounted(long parameters, Tensor output) => Add(0, parameters, output);

    private static long PerImage(Tensor output) => output.numel() / output.shape[0];

    private void Add(long macs, long parameters, Tensor output)
    {
        Macs += macs;
        Parameters += parameters;
        Activations += PerImage(output);
    }
}
