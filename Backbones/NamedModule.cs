namespace Imta.MetaWeight.Backbones;

/// <summary>
/// A module whose parts have the names they are registered by, and no others: TorchSharp's package would add every field once more
/// under the field's name, and the state dictionary would no longer be the published one.
/// </summary>
public abstract class NamedModule : nn.Module
{
    /// <summary>A module without parts.</summary>
    /// <param name="name">What it is.</param>
    protected NamedModule(string name)
        : base(name)
    {
    }

    /// <inheritdoc/>
    protected override void RegisterComponents()
    {
    }
}
