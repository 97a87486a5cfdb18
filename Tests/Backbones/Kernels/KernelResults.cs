namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>Results by their names, in float64.</summary>
internal sealed class KernelResults : Dictionary<string, Tensor>
{
    public double[][] Bits() => [.. Values.Select(KernelRun.Elements)];
}
