using TorchSharp.Modules;

namespace Imta.MetaWeight.Backbones;

/// <summary>
/// A module whose children have only the names they are registered with: TorchSharp would add every field again
/// under the field's name, and the state dictionary would no longer match the published one. What it registers lives as long as the module,
/// not just as long as the dispose scope in which it was created.
/// </summary>
public abstract class NamedModule : nn.Module
{
    /// <summary>A module without children.</summary>
    /// <param name="name">The kind of module.</param>
    protected NamedModule(string name)
        : base(name)
    {
    }

    /// <inheritdoc/>
    protected override void RegisterComponents()
    {
    }

    /// <inheritdoc/>
    public override void register_parameter(string name, Parameter param)
    {
        param.DetachFromDisposeScope();
        base.register_parameter(name, param);
    }

    /// <inheritdoc/>
    public override void register_buffer(string name, Tensor tensor, bool persistent = true)
    {
        tensor.DetachFromDisposeScope();
        base.register_buffer(name, tensor, persistent);
    }
}
