namespace Imta.MetaWeight.Backbones;

/// <summary>A network's state by name, as <c>state_dict</c> has it.</summary>
public static class NetworkState
{
    /// <summary>
    /// Copies a whole state into a network, of which <c>load_state_dict</c> alone would take much that does not fit: it broadcasts
    /// <c>[1, 3]</c> into <c>[2, 3]</c>, converts element types, and may stop half way.
    /// </summary>
    /// <param name="network">The network; its tensors stay the same objects, and as trainable as they are.</param>
    /// <param name="state">A tensor for each name of its <c>state_dict</c>, and no others, in the same shape and element type; on any device.</param>
    /// <exception cref="InvalidDataException">It does not fit: the message says how many tensors, and names one. Nothing is copied.</exception>
    public static void LoadState(this nn.Module network, IReadOnlyDictionary<string, Tensor> state)
    {
        if (Misfit(network.state_dict(), state) is { } misfit)
        {
            throw new InvalidDataException(misfit);
        }

        network.load_state_dict(state.ToDictionary());
    }

    /// <summary>How another state differs from a network's in names, shapes and element types, in one line; null: it fits.</summary>
    internal static string? Misfit(IReadOnlyDictionary<string, Tensor> network, IReadOnlyDictionary<string, Tensor> other)
    {
        string[] missing = [.. network.Keys.Where(name => !other.ContainsKey(name))];
        string[] unexpected = [.. other.Keys.Where(name => !network.ContainsKey(name))];
        string[] different = [.. network.Keys.Except(missing).Where(name => Form(network[name]) != Form(other[name]))];
        string[] problems =
        [
            .. missing.Take(1).Select(name => $"{missing.Length} of the network's tensors are missing ({name}{More(missing)})"),
            .. unexpected.Take(1).Select(name => $"{unexpected.Length} are not the network's ({OneLine(name)}{More(unexpected)})"),
            .. different.Take(1).Select(name => $"{different.Length} have another form ({name} is {Form(other[name])} and not {Form(network[name])}{More(different)})"),
        ];
        return problems.Length == 0 ? null : string.Join(", and ", problems);
    }

    /// <summary>Text from a file as it may stand in a message.</summary>
    internal static string OneLine(string text) => string.Concat(text.Take(80).Select(c => char.IsControl(c) ? '?' : c));

    private static string Form(Tensor tensor) => $"{tensor.dtype} [{string.Join(", ", tensor.shape)}]";

    private static string More(string[] names) => names.Length == 1 ? "" : $" and {names.Length - 1} more";
}
