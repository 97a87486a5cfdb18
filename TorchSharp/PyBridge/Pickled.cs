namespace TorchSharp.PyBridge;

/// <summary>What a pickle holds.</summary>
/// <param name="Value">The object, as <see cref="PickleReader.Read"/> describes it.</param>
/// <param name="Storages">Every storage that it names, used or not.</param>
/// <param name="End">The position behind it.</param>
internal sealed record Pickled(object? Value, IReadOnlyCollection<PickledStorage> Storages, int End);
