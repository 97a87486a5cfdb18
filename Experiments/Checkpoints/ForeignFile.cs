using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>Reads network files written by other programs; the kind of file is detected from its content.</summary>
internal static class ForeignFile
{
    /// <summary>Keys of a published checkpoint.</summary>
    public const string Epoch = "epoch", Backbone = "state_dict", Optimiser = "optimizer",
        Weighting = LearnedWeighting.NetworkKey, WeightingOptimiser = LearnedWeighting.OptimiserKey;

    /// <summary>The prefix that Lightning adds to all names.</summary>
    public const string LightningPrefix = "model.";

    private const long MaxEpochs = 1_000_000; // the configuration's limit; larger values count as unknown

    // Where training scripts keep the network; averaged weights are only used if there is nothing else.
    private static readonly string[] NetworkKeys = [Backbone, "model_state_dict", "model", "net", "state_dict_ema"];

    // DataParallel and torch.compile put these before the names of whatever they wrap.
    private static readonly string[] Wrappers = ["module", "_orig_mod"];

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
                Dictionary<string, TorchValue> named = Named(Safetensors.Read(file));
                return new ForeignCheckpoint(file, "a safetensors file", TensorsOf(named), OthersOf(named), 0, Nothing, null, null);
            }

            if (!IsNative(file))
            {
                return FromPickle(file, TorchFileReader.Read(file));
            }
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            // The readers' own messages repeat the file and guess its format.
            string why = (e.InnerException ?? e).Message.ReplaceLineEndings(" ").TrimEnd('.');
            throw new UsageException($"{file} does not contain a readable network: {why}", e);
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
        return read == start.Length && start[8] == (byte)'{';
    }

    private static bool IsNative(string file)
    {
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary content = TorchFileReader.Read(file, elements: false);
        return content.Entries.ContainsKey("format") && content.Entries.ContainsKey("config");
    }

    private static ForeignCheckpoint FromPickle(string file, TorchDictionary content)
    {
        string? key = NetworkKeys.FirstOrDefault(name => CountTensors(content.Entries.GetValueOrDefault(name)) > 0);
        if (key is null)
        {
            RequireBare(content);
        }

        Dictionary<string, TorchValue> network = Named(key is null ? content : content.Dictionary(key));
        foreach ((string name, TorchValue value) in Named(content.Entries.GetValueOrDefault(Weighting) as TorchDictionary ?? new()))
        {
            network[ForeignCheckpoint.WeightingPrefix + name] = value;
        }

        return new ForeignCheckpoint(
            file,
            key is null ? "a PyTorch state dictionary" : "a PyTorch checkpoint",
            TensorsOf(network),
            OthersOf(network),
            content.Entries.GetValueOrDefault(Epoch) is TorchInteger(>= 0 and <= MaxEpochs and var epoch) ? (int)epoch : 0,
            key is null ? Nothing : FactsOf(content),
            content.Entries.GetValueOrDefault(Optimiser) as TorchDictionary,
            content.Entries.GetValueOrDefault(WeightingOptimiser) as TorchDictionary);
    }

    /// <summary>Requires the tensors by name in the file's top-level dictionary; otherwise says where they are.</summary>
    private static void RequireBare(TorchDictionary content)
    {
        (string Path, int Tensors) most = Dictionaries(content, "").Append((Path: "", Tensors: 0)).MaxBy(dictionary => dictionary.Tensors);
        if (most.Tensors > CountTensors(content))
        {
            throw new InvalidDataException($"it has no network under {string.Join(", ", NetworkKeys)}, but {most.Tensors} tensors by name "
                + $"under {most.Path}: in Python, torch.save(torch.load(IN){most.Path}, OUT)");
        }

        if (CountTensors(content) == 0)
        {
            string key = NetworkKeys.FirstOrDefault(key => content.Entries.GetValueOrDefault(key) is TorchOpaque, Backbone);
            throw new InvalidDataException(
                content.Entries.GetValueOrDefault(key) is TorchOpaque whole
                    ? $"its {key} is {whole.Instead("dictionary")}"
                    : $"it has neither a dictionary {Backbone} nor tensors by name; {FileSignature.Expected}");
        }
    }

    /// <summary>All dictionaries nested in another under string keys, with their paths in Python's notation.</summary>
    private static IEnumerable<(string Path, int Tensors)> Dictionaries(TorchDictionary within, string path) => within.Entries
        .Where(entry => entry.Key.Text is not (null or Weighting) && entry.Value is TorchDictionary)
        .Select(entry => (Path: $"{path}[{FormatGuard.Quote(entry.Key.Text!)}]", Dictionary: (TorchDictionary)entry.Value))
        .SelectMany(inner => Dictionaries(inner.Dictionary, inner.Path).Prepend((inner.Path, CountTensors(inner.Dictionary))));

    private static int CountTensors(TorchValue? value)
        => (value as TorchDictionary)?.Entries.Count(entry => entry.Key.Text is not null && entry.Value is TorchTensor) ?? 0;

    /// <summary>The values by the network's own names: without the prefixes added by wrappers.</summary>
    private static Dictionary<string, TorchValue> Named(TorchDictionary state)
    {
        (string Name, TorchValue Value)[] entries =
        [
            .. state.Entries.Where(entry => entry.Key.Text is not null)
                .Select(entry => (string.Join('.', entry.Key.Text!.Split('.').Where(part => !Wrappers.Contains(part))), entry.Value)),
        ];
        bool isLightning = entries.All(entry => entry.Value is not TorchTensor || ForeignCheckpoint.IsWeighting(entry.Name)
            || entry.Name.StartsWith(LightningPrefix, StringComparison.Ordinal));
        var named = new Dictionary<string, TorchValue>();
        foreach ((string name, TorchValue value) in entries)
        {
            bool isPrefixed = isLightning && name.StartsWith(LightningPrefix, StringComparison.Ordinal);
            string own = isPrefixed ? name[LightningPrefix.Length..] : name;
            if (!named.TryAdd(own, value))
            {
                throw new InvalidDataException(
                    $"two values become {Terminal.Sanitize(own)} without the prefixes {LightningPrefix}, {string.Join("., ", Wrappers)}.");
            }
        }

        return named;
    }

    private static Dictionary<string, Tensor> TensorsOf(Dictionary<string, TorchValue> named)
    {
        Dictionary<string, Tensor> tensors = named.Where(entry => entry.Value is TorchTensor)
            .ToDictionary(entry => entry.Key, entry => ((TorchTensor)entry.Value).Value);
        return tensors.Count > 0 ? tensors : throw new InvalidDataException("it has no tensors");
    }

    private static Dictionary<string, TorchOpaque> OthersOf(Dictionary<string, TorchValue> named)
        => named.Where(entry => entry.Value is TorchOpaque).ToDictionary(entry => entry.Key, entry => (TorchOpaque)entry.Value);

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
