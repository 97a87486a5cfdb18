namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>A tensor of a safetensors file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="TypeName">The format's name of its element type.</param>
/// <param name="Shape">The shape.</param>
/// <param name="Begin">The offset of its first byte, from the end of the header.</param>
/// <param name="End">The offset after its last byte.</param>
internal sealed record SafetensorsEntry(string Name, string TypeName, long[] Shape, long Begin, long End)
{
    /// <summary>The element type; null: it is not read.</summary>
    public ScalarType? Type => SafetensorsHeader.Types.Where(known => known.Name == TypeName)
        .Select(known => (ScalarType?)known.Type).SingleOrDefault();
}
