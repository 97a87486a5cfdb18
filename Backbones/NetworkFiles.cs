using System.Collections;
using TorchSharp.PyBridge;

namespace Imta.MetaWeight.Backbones;

/// <summary>
/// Saves and loads a network's state in the format of Python's <c>torch.save(module.state_dict(), file)</c> and <c>torch.load(file)</c>.
/// TorchSharp.PyBridge reads and writes the files; this class adds the checks that it lacks.
/// </summary>
public static class NetworkFiles
{
    /// <summary>
    /// Writes a network's state. The file is written under another name, read back, and renamed, so that it is always complete. Tensors
    /// are written contiguous, from any device, and without <c>requires_grad</c>, as Python's state dictionaries have them.
    /// </summary>
    /// <param name="network">The network.</param>
    /// <param name="path">The file to create or replace.</param>
    /// <exception cref="InvalidOperationException">The network has no tensors, perhaps because they have been disposed.</exception>
    /// <exception cref="IOException">The file cannot be written, or does not contain what was written.</exception>
    public static void SavePy(this nn.Module network, string path)
    {
        using DisposeScope scope = NewDisposeScope();
        Dictionary<string, Tensor> state = network.state_dict();
        if (state.Count == 0)
        {
            throw new InvalidOperationException(
                $"{network.GetName()} has no tensors to save; those registered inside a dispose scope are disposed with it "
                + "unless DetachFromDisposeScope is called");
        }

        string beside = path + ".partial";
        try
        {
            using (var stream = new FileStream(beside, FileMode.Create, FileAccess.ReadWrite))
            {
                PyTorchPickler.PickleStateDict(
                    stream, state.ToDictionary(entry => entry.Key, entry => Plain(entry.Value)), leaveOpen: true);
                stream.Flush(flushToDisk: true);
                if (NetworkState.FindMismatch(state, Read(stream, beside)) is { } misfit)
                {
                    throw new IOException($"{beside} does not contain what was written: {misfit}");
                }
            }

            File.Move(beside, path, overwrite: true);
        }
        catch
        {
            File.Delete(beside);
            throw;
        }
    }

    /// <summary>Loads the state in a file into a network; its tensor objects and their <c>requires_grad</c> are kept.</summary>
    /// <param name="network">The network.</param>
    /// <param name="path">
    /// A zip file of <c>torch.save</c> (PyTorch 1.6 or later) with a state dict whose tensors are contiguous and do not share memory.
    /// </param>
    /// <exception cref="InvalidDataException">
    /// The file is something else, or its names, shapes or element types do not match the network's. Nothing is copied.
    /// </exception>
    /// <exception cref="IOException">The file cannot be opened.</exception>
    public static void LoadPy(this nn.Module network, string path)
    {
        using DisposeScope scope = NewDisposeScope();
        using FileStream stream = File.OpenRead(path);
        Dictionary<string, Tensor> state = Read(stream, path);
        try
        {
            network.LoadState(state);
        }
        catch (InvalidDataException e)
        {
            throw new InvalidDataException($"{path} does not match this network: {e.Message}", e);
        }
    }

    // PyBridge writes a strided tensor's bytes as they lie in memory, and a view's offset without the elements before it.
    private static Tensor Plain(Tensor tensor)
    {
        Tensor rows = tensor.detach().cpu().contiguous();
        return rows.storage_offset() == 0 ? rows : rows.clone();
    }

    private static Dictionary<string, Tensor> Read(Stream stream, string path)
    {
        DictionaryEntry[] content;
        try
        {
            stream.Position = 0;
            content = [.. PyTorchUnpickler.UnpickleStateDict(stream, leaveOpen: true).Cast<DictionaryEntry>()];
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // PyBridge follows the bytes and checks little: a damaged file fails at a cast, an index or a key, in libtorch, …
            throw new InvalidDataException(
                $"{path} cannot be read ({NetworkState.OneLine(e.Message.Split('\n')[0].TrimEnd('.', '\r'))}); "
                + "expected a zip file of torch.save(module.state_dict()) with contiguous tensors; "
                + "imta convert can read checkpoints, older formats and views",
                e);
        }

        return content.ToDictionary(
            entry => entry.Key as string ?? throw new InvalidDataException(
                $"{path} does not contain a state dictionary: its key {entry.Key} is not a string"),
            entry => entry.Value as Tensor ?? throw new InvalidDataException(
                $"{path} does not contain a state dictionary: its {NetworkState.OneLine($"{entry.Key}")} is not a tensor; for a "
                + "checkpoint, save only its state_dict, or use imta convert"));
    }
}

/// <summary>A network's state by name, as in <c>state_dict</c>.</summary>
public static class NetworkState
{
    /// <summary>
    /// Loads a complete state into a network; <c>load_state_dict</c> alone would accept much that does not match: it broadcasts
    /// <c>[1, 3]</c> into <c>[2, 3]</c>, converts element types, and may stop halfway.
    /// </summary>
    /// <param name="network">The network; its tensor objects and their <c>requires_grad</c> are kept.</param>
    /// <param name="state">
    /// Exactly one tensor for each name of its <c>state_dict</c>, with the same shape and element type; on any device.
    /// </param>
    /// <exception cref="InvalidDataException">
    /// It does not match: the message states how many tensors differ, and names one. Nothing is copied.
    /// </exception>
    public static void LoadState(this nn.Module network, IReadOnlyDictionary<string, Tensor> state)
    {
        if (FindMismatch(network.state_dict(), state) is { } misfit)
        {
            throw new InvalidDataException(misfit);
        }

        network.load_state_dict(state.ToDictionary());
    }

    /// <summary>How another state differs from a network's in names, shapes and element types, in one line; null: it matches.</summary>
    internal static string? FindMismatch(IReadOnlyDictionary<string, Tensor> network, IReadOnlyDictionary<string, Tensor> other)
    {
        string[] missing = [.. network.Keys.Where(name => !other.ContainsKey(name))];
        string[] unexpected = [.. other.Keys.Where(name => !network.ContainsKey(name))];
        string[] different = [.. network.Keys.Except(missing).Where(name => DescribeShape(network[name]) != DescribeShape(other[name]))];
        string[] problems =
        [
            .. missing.Take(1).Select(name => $"{missing.Length} of the network's tensors are missing ({name}{More(missing)})"),
            .. unexpected.Take(1).Select(name => $"{unexpected.Length} are not the network's ({OneLine(name)}{More(unexpected)})"),
            .. different.Take(1).Select(name =>
                $"{different.Length} have a different shape or type ({name} is {DescribeShape(other[name])} and not "
                    + $"{DescribeShape(network[name])}{More(different)})"),
        ];
        return problems.Length == 0 ? null : string.Join(", and ", problems);
    }

    /// <summary>Text from a file, made safe for a message: at most 80 characters in one line.</summary>
    internal static string OneLine(string text) => string.Concat(text.Take(80).Select(c => char.IsControl(c) ? '?' : c));

    private static string DescribeShape(Tensor tensor) => $"{tensor.dtype} {ShapeText(tensor)}";

    private static string More(string[] names) => names.Length == 1 ? "" : $" and {names.Length - 1} more";
}
