using System.Collections;
using static TorchSharp.torch;

namespace TorchSharp.PyBridge;

/// <summary>States of modules to and from the files that Python's <c>torch.save</c>, <c>torch.load</c> and safetensors write and read.</summary>
public static class PyBridgeModuleExtensions
{
    /// <inheritdoc cref="load_py(nn.Module, Stream, bool, IList{string}, Dictionary{string, bool}, bool)"/>
    /// <param name="module">The module.</param>
    /// <param name="location">The file.</param>
    /// <param name="strict">Whether the file has to have exactly the module's names, but for the skipped ones.</param>
    /// <param name="skip">Names that stay as they are.</param>
    /// <param name="loadedParameters">Gets each name of the file, and whether the module took it.</param>
    public static nn.Module load_py(
        this nn.Module module, string location, bool strict = true, IList<string>? skip = null, Dictionary<string, bool>? loadedParameters = null)
    {
        using FileStream stream = File.OpenRead(location);
        return module.load_py(stream, strict, skip, loadedParameters, leaveOpen: true);
    }

    /// <summary>Copies the values of a state dictionary that <c>torch.save(module.state_dict())</c> wrote, of either format, into the module's tensors.</summary>
    /// <param name="module">The module.</param>
    /// <param name="stream">The file, whole.</param>
    /// <param name="strict">Whether the file has to have exactly the module's names, but for the skipped ones.</param>
    /// <param name="skip">Names that stay as they are.</param>
    /// <param name="loadedParameters">Gets each name of the file, and whether the module took it.</param>
    /// <param name="leaveOpen">Whether the stream stays open, also after an error.</param>
    /// <returns>The module.</returns>
    /// <exception cref="InvalidDataException">The file cannot be read, or holds something else than a state dictionary, such as a checkpoint.</exception>
    /// <exception cref="InvalidOperationException">The state does not fit the module; the message says where. Nothing is copied then.</exception>
    public static nn.Module load_py(
        this nn.Module module, Stream stream, bool strict = true, IList<string>? skip = null, Dictionary<string, bool>? loadedParameters = null, bool leaveOpen = false)
    {
        using DisposeScope scope = NewDisposeScope();
        Hashtable contents = PyTorchUnpickler.UnpickleStateDict(stream, leaveOpen);
        return Load(module, StateOf(contents, SeekableStream.Name(stream)), strict, skip, loadedParameters);
    }

    /// <inheritdoc cref="save_py(nn.Module, Stream, IList{string}, bool)"/>
    /// <param name="module">The module.</param>
    /// <param name="location">The file, which is created or replaced.</param>
    /// <param name="skip">Names to leave out.</param>
    public static nn.Module save_py(this nn.Module module, string location, IList<string>? skip = null)
    {
        PyTorchPickler.PickleStateDict(location, StateOf(module, skip));
        return module;
    }

    /// <summary>Writes the module's state dictionary as <c>torch.save</c> does: <c>module.load_state_dict(torch.load(file))</c> takes it.</summary>
    /// <param name="module">The module.</param>
    /// <param name="stream">Where to.</param>
    /// <param name="skip">Names to leave out.</param>
    /// <param name="leaveOpen">Whether the stream stays open, also after an error.</param>
    /// <returns>The module.</returns>
    public static nn.Module save_py(this nn.Module module, Stream stream, IList<string>? skip = null, bool leaveOpen = false)
    {
        PyTorchPickler.PickleStateDict(stream, StateOf(module, skip), leaveOpen);
        return module;
    }

    /// <inheritdoc cref="load_safetensors(nn.Module, Stream, bool, IList{string}, Dictionary{string, bool}, bool)"/>
    /// <param name="module">The module.</param>
    /// <param name="location">The file.</param>
    /// <param name="strict">Whether the file has to have exactly the module's names, but for the skipped ones.</param>
    /// <param name="skip">Names that stay as they are.</param>
    /// <param name="loadedParameters">Gets each name of the file, and whether the module took it.</param>
    public static nn.Module load_safetensors(
        this nn.Module module, string location, bool strict = true, IList<string>? skip = null, Dictionary<string, bool>? loadedParameters = null)
    {
        using FileStream stream = File.OpenRead(location);
        return module.load_safetensors(stream, strict, skip, loadedParameters, leaveOpen: true);
    }

    /// <summary>Copies the values of a safetensors file into the module's tensors.</summary>
    /// <param name="module">The module.</param>
    /// <param name="stream">The file, whole.</param>
    /// <param name="strict">Whether the file has to have exactly the module's names, but for the skipped ones.</param>
    /// <param name="skip">Names that stay as they are.</param>
    /// <param name="loadedParameters">Gets each name of the file, and whether the module took it.</param>
    /// <param name="leaveOpen">Whether the stream stays open, also after an error.</param>
    /// <returns>The module.</returns>
    /// <exception cref="InvalidDataException">The file cannot be read.</exception>
    /// <exception cref="InvalidOperationException">The state does not fit the module; the message says where. Nothing is copied then.</exception>
    public static nn.Module load_safetensors(
        this nn.Module module, Stream stream, bool strict = true, IList<string>? skip = null, Dictionary<string, bool>? loadedParameters = null, bool leaveOpen = false)
    {
        using DisposeScope scope = NewDisposeScope();
        return Load(module, Safetensors.LoadStateDict(stream, leaveOpen), strict, skip, loadedParameters);
    }

    /// <inheritdoc cref="save_safetensors(nn.Module, Stream, IList{string}, bool)"/>
    /// <param name="module">The module.</param>
    /// <param name="location">The file, which is created or replaced.</param>
    /// <param name="skip">Names to leave out.</param>
    public static nn.Module save_safetensors(this nn.Module module, string location, IList<string>? skip = null)
    {
        Safetensors.SaveStateDict(location, StateOf(module, skip));
        return module;
    }

    /// <summary>Writes the module's state dictionary as a safetensors file.</summary>
    /// <param name="module">The module.</param>
    /// <param name="stream">Where to.</param>
    /// <param name="skip">Names to leave out.</param>
    /// <param name="leaveOpen">Whether the stream stays open, also after an error.</param>
    /// <returns>The module.</returns>
    public static nn.Module save_safetensors(this nn.Module module, Stream stream, IList<string>? skip = null, bool leaveOpen = false)
    {
        Safetensors.SaveStateDict(stream, StateOf(module, skip), leaveOpen);
        return module;
    }

    private static Dictionary<string, Tensor> StateOf(nn.Module module, IList<string>? skip)
        => module.state_dict().Where(entry => skip?.Contains(entry.Key) != true).ToDictionary(entry => entry.Key, entry => entry.Value);

    private static Dictionary<string, Tensor> StateOf(Hashtable contents, string file)
    {
        Dictionary<string, Tensor> state = [];
        foreach (DictionaryEntry entry in contents)
        {
            if (entry is not { Key: string name, Value: Tensor tensor })
            {
                string key = Malformed.Quote(entry.Key.ToString()!);
                string hint = contents["state_dict"] is Hashtable ? "; under 'state_dict' it has a dictionary, as checkpoints do" : "";
                throw new InvalidDataException($"{file} holds no state dictionary of names and tensors: {key} is none{hint}");
            }

            state.Add(name, tensor);
        }

        return state;
    }

    private static nn.Module Load(
        nn.Module module, Dictionary<string, Tensor> state, bool strict, IList<string>? skip, Dictionary<string, bool>? loadedParameters)
    {
        (_, IList<string> unexpected) = module.load_state_dict(state, strict, skip);
        if (loadedParameters is not null)
        {
            HashSet<string> left = [.. unexpected, .. skip ?? []];
            foreach (string name in state.Keys)
            {
                loadedParameters[name] = !left.Contains(name);
            }
        }

        return module;
    }
}
