namespace TorchSharp.Modules;

/// <summary>A tensor that a module learns: a leaf that takes part in differentiation.</summary>
public class Parameter : torch.Tensor
{
    /// <param name="data">The values; the parameter takes them over and disposes the argument.</param>
    /// <param name="requires_grad">Whether it is learnt.</param>
    public Parameter(torch.Tensor data, bool requires_grad = true)
        : base(data.TakeHandle())
    {
        this.requires_grad = requires_grad;
    }
}
