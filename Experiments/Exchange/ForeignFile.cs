using System.Collections;
using System.Collections.Specialized;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using TorchSharp.PyBridge;

namespace Imta.MetaWeight.Experiments.Exchange;

/// <summary>Reads files of networks that other programs wrote; what a file is follows from its content.</summary>
internal static class ForeignFile
{
    /// <summary>Keys of a published checkpoint.</summary>
    public const string Epoch = "epoch", Backbone = "state_dict", Optimiser = "optimizer", Weighting = "meta_state_dict", WeightingOptimiser = "meta_optimizer";

    private const long MostEpochs = 1_000_000; // as in a configuration; what is beyond is unknown

    private static readonly Dictionary<string, object?> Nothing = [];

    /// <summary>What a file holds; null where it is a checkpoint of this program, which <see cref="Checkpoint.Read"/> reads.</summary>
    /// <param name="file">The file; what it is follows from its content.</param>
    /// <param name="configured">Whether the user says the configuration.</param>
    /// <exception cref="UsageException">It cannot be read, or it says its configuration itself.</exception>
    public static ForeignCheckpoint? Open(string file, bool configured)
    {
        try
        {
            if (IsSafetensors(file))
            {
                return new ForeignCheckpoint(file, "a safetensors file", Named(Safetensors.LoadStateDict(file)), 0, Nothing, null, null);
            }

            if (!IsOwn(file))
            {
                return OfPickle(file, PyTorchUnpickler.UnpickleStateDict(file));
            }
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{file} holds no network that can be read ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); wanted a checkpoint of imta train, a PyTorch checkpoint or state dictionary, or a safetensors file", e);
        }

        return configured ? throw new UsageException($"{file} is a checkpoint of imta train, which holds its configuration; leave --config and --set out") : null;
    }

    private static bool IsSafetensors(string file)
    {
        // The length of a JSON object in eight bytes, and the object.
        Span<byte> start = stackalloc byte[9];
        using FileStream stream = File.OpenRead(file);
        int read = stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        return read > 0 ? read == start.Length && start[8] == (byte)'{' : throw new InvalidDataException("it is empty");
    }

    private static bool IsOwn(string file)
    {
        using DisposeScope scope = NewDisposeScope();
        using FileStream stream = File.OpenRead(file);
        Hashtable content = PyTorchUnpickler.UnpickleStateDict(stream, skipTensorRead: true);
        return content.ContainsKey("format") && content.ContainsKey("config");
    }

    private static ForeignCheckpoint OfPickle(string file, Hashtable content)
    {
        if (content[Backbone] is not Hashtable state)
        {
            return content.Count > 0 && content.Values.Cast<object?>().All(value => value is Tensor)
                ? new ForeignCheckpoint(file, "a PyTorch state dictionary", Named(Entries(content)), 0, Nothing, null, null)
                : throw new InvalidDataException($"it has neither a dictionary {Backbone} nor tensors by name");
        }

        IEnumerable<KeyValuePair<string, Tensor>> weighting = Entries(content[Weighting] as Hashtable ?? []).Select(entry => KeyValuePair.Create(ForeignCheckpoint.WeightingPrefix + entry.Key, entry.Value));
        int epochs = content[Epoch] is long and >= 0 and <= MostEpochs and var epoch ? (int)epoch : 0;
        return new ForeignCheckpoint(
            file, "a PyTorch checkpoint", Named(Entries(state).Concat(weighting)), epochs, FactsOf(content), Sorted(content[Optimiser]) as IDictionary, Sorted(content[WeightingOptimiser]) as IDictionary);
    }

    private static IEnumerable<KeyValuePair<string, Tensor>> Entries(Hashtable state) => state.Cast<DictionaryEntry>()
        .Select(entry => entry is { Key: string name, Value: Tensor tensor }
            ? KeyValuePair.Create(name, tensor)
            : throw new InvalidDataException($"its entry '{YamlReader.OneLine($"{entry.Key}")}' is no tensor with a name"))
        .OrderBy(entry => entry.Key, StringComparer.Ordinal); // a file's own order is not read

    /// <summary>The same in an order: a Hashtable's changes from process to process, and one file is to give the same bytes.</summary>
    private static object? Sorted(object? value)
    {
        if (value is not Hashtable table)
        {
            return value is ArrayList list ? new ArrayList(list.Cast<object?>().Select(Sorted).ToArray()) : value;
        }

        var sorted = new OrderedDictionary();
        foreach (DictionaryEntry entry in table.Cast<DictionaryEntry>().OrderBy(entry => entry.Key as long?).ThenBy(entry => entry.Key as string, StringComparer.Ordinal))
        {
            sorted.Add(entry.Key, Sorted(entry.Value));
        }

        return sorted;
    }

    /// <summary>The tensors by the network's own names: DataParallel puts <c>module.</c> before those of what it wraps.</summary>
    private static Dictionary<string, Tensor> Named(IEnumerable<KeyValuePair<string, Tensor>> tensors)
    {
        var named = new Dictionary<string, Tensor>();
        foreach ((string name, Tensor tensor) in tensors)
        {
            string own = string.Join('.', name.Split('.').Where(part => part != "module"));
            if (!named.TryAdd(own, tensor))
            {
                throw new InvalidDataException($"it has two tensors {YamlReader.OneLine(own)}, with module. in the name and without");
            }
        }

        return named.Count > 0 ? named : throw new InvalidDataException("it has no tensors");
    }

    private static Dictionary<string, object?> FactsOf(Hashtable content) => content.Cast<DictionaryEntry>()
        .Where(entry => entry is { Key: string and not Epoch, Value: string or long or double or bool or Tensor })
        .Select(entry => KeyValuePair.Create((string)entry.Key, entry.Value is Tensor best ? Number(best) : entry.Value))
        .Where(fact => fact.Value is not null)
        .ToDictionary();

    // The best accuracy is a tensor where the published code did not call item().
    private static object? Number(Tensor value) => value.numel() == 1 ? value.to_type(ScalarType.Float64).item<double>() : null;
}
