using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>
/// <c>*_zip.pt</c>, <c>*_legacy.pt</c>, <c>*.pth.tar</c>: files written by PyTorch. Their values are compared with <c>NAME_expected.pt</c>,
/// the networks among them must reproduce its logits, and a write-read round trip must be bit-exact.
/// </summary>
internal static class PyTorchFilesCase
{
    private const double Exact = 0;

    // The published sums add the same numbers in a different order.
    private const double SumTolerance = 1e-12;

    public static IEnumerable<VerifiedQuantity> Run(string path, Device device)
    {
        string file = Path.GetFileName(path);
        TorchDictionary contents = TorchFileReader.Read(path);
        using GoldenFile golden = GoldenFile.Open(Expected(path));
        VerifiedQuantity[] quantities = GoldenComparison.Run(golden, key => BelongsToOtherFile(key, file), comparison =>
        {
            CheckValues(comparison, golden, contents, file);
            if (golden.Contains("x"))
            {
                CheckLogits(comparison, golden, contents.Dictionary("state_dict").Tensors(), device);
            }

            comparison.CheckError("written as a PyTorch file", Differences(contents, ByPyTorchFile(contents)), Exact);
            TorchDictionary tensors = Tensors(contents);
            comparison.CheckError("written as safetensors", Differences(tensors, BySafetensors(tensors)), Exact);
        });
        return quantities.Select(quantity => quantity with { Case = file });
    }

    /// <summary>The expected values for a file: NAME is a prefix of its name, without trailing _parts.</summary>
    private static string Expected(string path)
    {
        string file = Path.GetFileName(path);
        for (int end = file.LastIndexOf('_'); end > 0; end = file.LastIndexOf('_', end - 1))
        {
            string expected = Path.Combine(Path.GetDirectoryName(path)!, $"{file[..end]}_expected.pt");
            if (File.Exists(expected))
            {
                return expected;
            }
        }

        throw new NotCoveredException($"there is no NAME_expected.pt next to {file}");
    }

    // The images are inputs, and imta_expected.pt covers the files of both phases.
    private static bool BelongsToOtherFile(string key, string file)
        => key is "x" || (key.StartsWith("phase", StringComparison.Ordinal) && !file.Contains(key.Split('/')[0], StringComparison.Ordinal));

    private static void CheckValues(GoldenComparison comparison, GoldenFile golden, TorchDictionary contents, string file)
    {
        Dictionary<string, TorchValue> values = Leaves(contents).ToDictionary(leaf => leaf.Path, leaf => leaf.Value);
        string[] keys =
        [
            .. golden.LogicalKeys.Where(key => !BelongsToOtherFile(key, file) && !key.StartsWith("eval_logits/", StringComparison.Ordinal)),
        ];
        foreach (string key in keys)
        {
            Check(comparison, golden, key, values.GetValueOrDefault(PathOf(key)));
        }

        HashSet<string> known = [.. keys.Select(PathOf)];
        HashSet<string> covered = [.. known.Select(ParentOf)];
        int unexpected = values.Count(
            leaf => leaf.Value is TorchTensor && covered.Contains(ParentOf(leaf.Key)) && !known.Contains(leaf.Key));
        comparison.CheckError("names", unexpected + known.Count(path => !values.ContainsKey(path)), Exact);
    }

    /// <summary>The path in the file that corresponds to KEY of the expected values.</summary>
    private static string PathOf(string key) => key.Split('/') switch
    {
        ["optimizer" or "meta_optimizer", var slot, var index] => $"{key.Split('/')[0]}/state/{index}/{slot}",
        ["phase1" or "phase2" or "stat" or "shape", var name] => $"state_dict/{name}",
        [var name, "float64_bits"] => name,
        _ => key,
    };

    private static string ParentOf(string path) => path[..Math.Max(path.LastIndexOf('/'), 0)];

    private static void Check(GoldenComparison comparison, GoldenFile golden, string key, TorchValue? value)
    {
        using DisposeScope scope = NewDisposeScope();
        switch (value)
        {
            case TorchTensor(var tensor) when key.StartsWith("stat/", StringComparison.Ordinal):
                comparison.CheckError(key, GoldenFile.SumsError(GoldenFile.Values(tensor), GoldenFile.Values(golden[key])), SumTolerance);
                break;
            case TorchTensor(var tensor) when key.StartsWith("shape/", StringComparison.Ordinal):
                comparison.CheckError(key, Differences(torch.tensor(tensor.shape), golden[key]), Exact);
                break;
            case TorchTensor(var tensor) when key.EndsWith("/float64_bits", StringComparison.Ordinal):
                long[] bits = [.. GoldenFile.Values(tensor).Select(BitConverter.DoubleToInt64Bits)];
                comparison.CheckError(key, Differences(torch.tensor(bits, tensor.shape), golden[key]), Exact);
                break;
            case TorchTensor(var tensor) when golden.Contains(key):
                comparison.CheckError(key, Differences(tensor.to_type(golden[key].dtype), golden[key]), Exact);
                break;
            case TorchTensor(var tensor):
                comparison.Check(key, tensor, SumTolerance);
                break;
            case TorchInteger(var number):
                comparison.Check(key, number, Exact);
                break;
            case TorchFloat(var number):
                comparison.Check(key, number, Exact);
                break;
            case TorchBool(var truth):
                comparison.Check(key, truth ? 1 : 0, Exact);
                break;
            default:
                comparison.CheckError(key, double.PositiveInfinity, Exact);
                break;
        }
    }

    /// <summary>The network's logits in float64. Most files have classifiers of 8 channels, not 128: the others are set to zero.</summary>
    private static void CheckLogits(GoldenComparison comparison, GoldenFile golden, Dictionary<string, Tensor> state, Device device)
    {
        using MsdNet network = Network(state, device);
        Dictionary<string, Tensor> own = network.state_dict();
        comparison.CheckError("state names", own.Keys.Except(state.Keys).Count() + state.Keys.Except(own.Keys).Count(), Exact);
        network.load_state_dict(own.ToDictionary(entry => entry.Key, entry => PadClassifiers(Find(state, entry.Key), entry.Value.shape)));
        Tensor[] logits = network.Forward(golden["x"].to(device), NormStatistics.Running);
        for (int k = 0; k < logits.Length; k++)
        {
            comparison.Check($"eval_logits/{k}", logits[k]);
        }
    }

    /// <summary>The published default MSDNet for CIFAR with as many blocks, channels and classes as the tensors have.</summary>
    private static MsdNet Network(Dictionary<string, Tensor> state, Device device)
    {
        const string FirstLayer = "blocks.0.1.layers.0.conv_normal.net";
        bool bottleneck = state.ContainsKey($"{FirstLayer}.3.weight");
        var options = new MsdNetOptions
        {
            Blocks = Enumerable.Range(0, state.Count).TakeWhile(k => state.ContainsKey($"classifier.{k}.linear.weight")).Count(),
            Channels = Outputs("blocks.0.0.layers.0.net.0.weight"),
            Growth = Outputs(bottleneck ? $"{FirstLayer}.3.weight" : $"{FirstLayer}.0.weight"),
            Bottleneck = bottleneck,
        };
        return new MsdNet(options, ImageKind.Cifar, Outputs("classifier.0.linear.weight"), GoldenNetworks.Factory(device));

        int Outputs(string name) => (int)Find(state, name).shape[0];
    }

    private static Tensor Find(Dictionary<string, Tensor> state, string name)
        => state.GetValueOrDefault(name) ?? throw new KeyNotFoundException($"it has no tensor '{name}'");

    private static Tensor PadClassifiers(Tensor tensor, long[] shape)
    {
        Tensor wide = zeros(shape, tensor.dtype);
        Tensor part = wide;
        for (int d = 0; d < shape.Length; d++)
        {
            part = part.narrow(d, 0, tensor.shape[d]);
        }

        part.copy_(tensor);
        return wide;
    }

    private static TorchDictionary ByPyTorchFile(TorchDictionary contents)
    {
        var stream = new MemoryStream();
        TorchFileWriter.Write(stream, contents);
        return TorchFileReader.Read(stream);
    }

    private static TorchDictionary BySafetensors(TorchDictionary tensors)
    {
        var stream = new MemoryStream();
        Safetensors.Write(stream, tensors.Tensors());
        return Safetensors.Read(stream);
    }

    private static TorchDictionary Tensors(TorchDictionary contents)
        => new(
            Leaves(contents).Where(leaf => leaf.Value is TorchTensor)
                .Select(leaf => KeyValuePair.Create(leaf.Path, ((TorchTensor)leaf.Value).Value)));

    /// <summary>All leaves of a value, by path.</summary>
    private static IEnumerable<(string Path, TorchValue Value)> Leaves(TorchValue value, string path = "")
    {
        string start = path.Length == 0 ? "" : path + "/";
        IEnumerable<(string Path, TorchValue Value)> leaves = value is TorchDictionary { Entries: var entries }
            ? entries.SelectMany(entry => Leaves(entry.Value, $"{start}{entry.Key}"))
            : value.Parts.SelectMany((part, k) => Leaves(part, $"{start}{k}"));
        return leaves.Prepend((path, value));
    }

    private static int Differences(TorchValue expected, TorchValue actual)
    {
        Dictionary<string, TorchValue> others = Leaves(actual).ToDictionary(leaf => leaf.Path, leaf => leaf.Value);
        int missing = 0, different = 0;
        foreach ((string path, TorchValue value) in Leaves(expected))
        {
            bool there = others.Remove(path, out TorchValue? other);
            missing += there ? 0 : 1;
            different += there && !AreSame(value, other!) ? 1 : 0;
        }

        return missing + different + others.Count;
    }

    private static bool AreSame(TorchValue a, TorchValue b) => (a, b) switch
    {
        (TorchTensor(var one), TorchTensor(var other)) => other.dtype == one.dtype && Differences(one, other) == 0,
        (TorchDictionary or TorchList or TorchTuple, _) => a.GetType() == b.GetType(),
        _ => a == b,
    };

    /// <summary>The number of elements whose bytes differ; infinity if the shapes differ.</summary>
    private static double Differences(Tensor a, Tensor b)
    {
        if (!a.shape.SequenceEqual(b.shape))
        {
            return double.PositiveInfinity;
        }

        using DisposeScope scope = NewDisposeScope();
        (Tensor left, Tensor right) = (a.contiguous(), b.contiguous());
        int size = (int)left.element_size();
        ReadOnlySpan<byte> one = left.bytes, other = right.bytes;
        int differing = 0;
        for (int at = 0; at < one.Length; at += size)
        {
            differing += one.Slice(at, size).SequenceEqual(other.Slice(at, size)) ? 0 : 1;
        }

        return differing;
    }
}
