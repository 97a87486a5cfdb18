namespace Imta.MetaWeight.Backbones.Layers;

/// <summary>A naming level: gives its parts a common prefix, like PyTorch's containers, and computes nothing.</summary>
public sealed class Group : NamedModule
{
    /// <summary>An empty group.</summary>
    public Group()
        : base(nameof(Group))
    {
    }

    /// <summary>A group of numbered parts: <c>0</c>, <c>1</c>, …</summary>
    public Group(IEnumerable<nn.Module> modules)
        : this()
    {
        foreach (nn.Module part in modules)
        {
            Add(part);
        }
    }

    /// <summary>Adds a part under the next index.</summary>
    public T Add<T>(T part)
        where T : nn.Module
    {
        register_module(named_children().Count().ToString(System.Globalization.CultureInfo.InvariantCulture), part);
        return part;
    }

    /// <summary>Adds a part under a name.</summary>
    public T Add<T>(string name, T part)
        where T : nn.Module
    {
        register_module(name, part);
        return part;
    }
}
