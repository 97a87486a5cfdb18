using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>Reads network files written by other programs; the kind of file is detected from its content.</summary>
internal static class ForeignFile
{
    /// <summary>Keys of a published checkpoint.</summary>
    public const string Epoch = "epoch", Backbone = "state_dict", Optimiser = "optimizer",
        Weighting = LearnedWeighting.NetworkKey, WeightingOptimiser = LearnedWeighting.OptimiserKey;

    private const long MaxEpochs = 1_000_000; // the configuration's limit; larger values count as unknown

    private static readonly Dictionary<string, TorchValue> Nothing = [];

    /// <summary>The content of a file; null if it is a native checkpoint, which <see cref="Checkpoint.Read"/> reads.</summary>
    /// <param name="file">The file; its kind is detected from its content.</param>
    /// <param name="configured">Whether the user gives a configuration.</param>
    /// <exception cref="UsageException">It cannot be read, or it already contains a configuration.</exception>
    public static ForeignCheckpoint? Open(string file, bool configured)
    {
        try
        {
            if (IsSafetensors(file))
            {
                return new ForeignCheckpoint(file, "a safetensors file", Named(Safetensors.Read(file)), 0, Nothing, null, null);
            }

            if (!IsNative(file))
            {
                return FromPickle(file, TorchFileReader.Read(file));
            }
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"{file} does not contain a readable network ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); "
                + "expected a checkpoint of imta train, a PyTorch checkpoint or state dictionary, or a safetensors file",
                e);
        }

        return configured
            ? throw new UsageException($"{file} is a checkpoint of imta train, which contains its configuration; omit --config and --set")
            : null;
    }

    private static bool IsSafetensors(string file)
    {
        // The length of a JSON object in eight bytes, then the object.
        Span<byte> start = stackalloc byte[9];
        using FileStream stream = File.OpenRead(file);
        int read = stream.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        return read > 0 ? read == start.Length && start[8] == (byte)'{' : throw new InvalidDataException("it is empty");
    }

    private static bool IsNative(string file)
    {
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary content = TorchFileReader.Read(file, elements: false);
        return content.Entries.ContainsKey("format") && content.Entries.ContainsKey("config");
    }

    private static ForeignCheckpoint FromPickle(string file, TorchDictionary content)
    {
        if (content.Entries.GetValueOrDefault(Backbone) is not TorchDictionary state)
        {
            return content.Entries.Count > 0 && content.Parts.All(value => value is TorchTensor)
                ? new ForeignCheckpoint(file, "a PyTorch state dictionary", Named(content.Tensors()), 0, Nothing, null, null)
                : throw new InvalidDataException($"it has neither a dictionary {Backbone} nor tensors by name");
        }

        Dictionary<string, Tensor> weighting = content.Find<TorchDictionary>(Weighting)?.Tensors() ?? [];
        int epochs = content.Entries.GetValueOrDefault(Epoch) is TorchInteger(>= 0 and <= MaxEpochs and var epoch) ? (int)epoch : 0;
        return new ForeignCheckpoint(
            file,
            "a PyTorch checkpoint",
            Named(
                state.Tensors()
                    .Concat(weighting.Select(entry => KeyValuePair.Create(ForeignCheckpoint.WeightingPrefix + entry.Key, entry.Value)))),
            epochs,
            FactsOf(content),
            content.Entries.GetValueOrDefault(Optimiser) as TorchDictionary,
            content.Entries.GetValueOrDefault(WeightingOptimiser) as TorchDictionary);
    }

    /// <summary>The tensors by the network's own names: DataParallel prefixes those of the wrapped module with <c>module.</c>.</summary>
    private static Dictionary<string, Tensor> Named(IEnumerable<KeyValuePair<string, Tensor>> tensors)
    {
        var named = new Dictionary<string, Tensor>();
        foreach ((string name, Tensor tensor) in tensors)
        {
            string own = string.Join('.', name.Split('.').Where(part => part != "module"));
            if (!named.TryAdd(own, tensor))
            {
                throw new InvalidDataException($"two tensors become {Terminal.Sanitize(own)} without the prefix 'module.'");
            }
        }

        return named.Count > 0 ? named : throw new InvalidDataException("it has no tensors");
    }

    private static Dictionary<string, TorchValue> FactsOf(TorchDictionary content) => content.Entries
        .Where(entry => entry.Key.Text is not (null or Epoch))
        .Select(entry => (Name: entry.Key.Text!, Value: Plain(entry.Value)))
        .Where(fact => fact.Value is not null)
        .ToDictionary(fact => fact.Name, fact => fact.Value!);

    // The best accuracy is a tensor if the published code did not call item().
    private static TorchValue? Plain(TorchValue value) => value switch
    {
        TorchString or TorchInteger or TorchFloat or TorchBool => value,
        TorchTensor(var number) when number.numel() == 1 => number.to_type(ScalarType.Float64).item<double>(),
        _ => null,
    };
}
