using System.Globalization;
using System.Text.RegularExpressions;
using static Imta.MetaWeight.Experiments.Checkpoints.TorchFiles.FormatGuard;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Makes the values that a pickle describes. Nothing is executed: the functions that make dictionaries, sizes and tensors are emulated,
/// and what any other would return is opaque.
/// </summary>
/// <param name="legacy">Whether persistent ids are in the format before PyTorch 1.6, which may refer to storage views.</param>
internal sealed class PickledObjects(bool legacy)
{
    /// <summary>The longest accepted key of a dictionary, in characters.</summary>
    public const int MaxKeyLength = 1024;

    // A single pickle byte can create a container of about 200 bytes; this and the length of keys bound the cost of a hostile file.
    private const int MaxContainers = 1_000_000;

    private readonly Dictionary<string, PickledStorageView> _parts = [];
    private int _containers;

    /// <summary>Every storage that the pickle refers to.</summary>
    public IReadOnlyCollection<PickledStorage> Storages => [.. _parts.Values.Select(part => part.Storage).Distinct()];

    /// <summary>Counts a new container.</summary>
    /// <exception cref="InvalidDataException">There are too many.</exception>
    public T Counted<T>(T container, int count = 1)
        where T : TorchValue
        => (_containers += count) <= MaxContainers
            ? container
            : throw new InvalidDataException($"the pickle has more than {MaxContainers} lists, tuples, dictionaries and tensors");

    public TorchDictionary Dictionary(TorchValue[] pairs)
    {
        var dictionary = new TorchDictionary();
        Set(dictionary, pairs);
        return Counted(dictionary);
    }

    /// <summary>Adds alternating keys and values to a dictionary. Keys that are neither short text nor integers are skipped.</summary>
    public static void Set(TorchValue target, TorchValue[] pairs)
    {
        Require(pairs.Length % 2 == 0, "a dictionary's last key has no value");
        if (target is TorchOpaque)
        {
            return;
        }

        var dictionary = target as TorchDictionary ?? throw new InvalidDataException("the pickle has no dictionary where one is expected");
        for (int k = 0; k < pairs.Length; k += 2)
        {
            TorchKey? key = pairs[k] switch
            {
                TorchString(var text) when text.Length <= MaxKeyLength => text,
                TorchInteger(var number) => number,
                _ => null,
            };
            if (key is { } known)
            {
                Require(dictionary.Entries.TryAdd(known, pairs[k + 1]), $"a dictionary contains the key {Quote($"{known}")} twice");
            }
        }
    }

    public static void Append(TorchValue target, params TorchValue[] items)
    {
        if (target is not TorchOpaque)
        {
            (target as TorchList ?? throw new InvalidDataException("the pickle has no list where one is expected")).Items.AddRange(items);
        }
    }

    /// <summary>What a function or class returns for arguments.</summary>
    public TorchValue Call(TorchOpaque callable, TorchValue[] arguments) => (callable.Module, callable.Name, arguments) switch
    {
        ("collections", "OrderedDict", []) => Dictionary([]),
        // as Python 2 writes it
        ("collections", "OrderedDict", [TorchTuple or TorchList]) when Pairs(arguments[0]) is { } pairs => Dictionary(pairs),
        ("torch", "Size", [TorchTuple size]) => size,
        // elements of a type that is not read, such as complex or quantised ones
        ("torch._utils", "_rebuild_tensor_v2" or "_rebuild_tensor", [PickledStorageView { Storage.Type: null } part, ..]) => part,
        // Storage, offset, size, stride, requires_grad, hooks, since PyTorch 1.13 also how the view changes values (empty: not at all).
        ("torch._utils", "_rebuild_tensor_v2",
            [
                PickledStorageView part, TorchInteger(var offset), TorchTuple size, TorchTuple stride, TorchBool, TorchDictionary,
                .. ([] or [TorchNone or TorchDictionary { Entries.Count: 0 }])
            ])
            => Counted(new PickledTensor(part, offset, Longs(size), Longs(stride))),
        // until PyTorch 0.3
        ("torch._utils", "_rebuild_tensor", [PickledStorageView part, TorchInteger(var offset), TorchTuple size, TorchTuple stride])
            => Counted(new PickledTensor(part, offset, Longs(size), Longs(stride))),
        ("torch._utils", "_rebuild_parameter" or "_rebuild_parameter_with_state", [PickledTensor tensor, ..]) => tensor,
        // how NumPy and Python begin to rebuild an object of any class
        (_, "_reconstruct" or "_reconstructor" or "__newobj__", [TorchOpaque type, ..]) => type,
        _ => callable,
    };

    /// <summary>
    /// A persistent id: ('storage', type, key, location, number of elements), in legacy files followed by None or (view key, offset, number
    /// of elements). Legacy files also have ('module', class, source file, source).
    /// </summary>
    public TorchValue Persistent(TorchValue[] id)
    {
        if (legacy && id is [TorchString("module"), TorchOpaque type, _, _])
        {
            return type;
        }

        if (id.Length != (legacy ? 6 : 5)
            || id is not [TorchString("storage"), TorchOpaque kind, TorchString(var key), TorchString, TorchInteger(var elements), ..]
            || !PickledStorage.Classes.Any(known => known.Name == kind.Name) || elements < 0 || key.Length > MaxKeyLength)
        {
            throw new InvalidDataException(
                "a persistent id is not ('storage', type, key, location, number of elements) with a view where one is expected");
        }

        PickledStorageView whole = Described(key, new PickledStorageView(new PickledStorage(kind.Name, key, elements), 0, elements));
        return id switch
        {
            [_, _, _, _, _] or [.., TorchNone] => whole,
            [.., TorchTuple([TorchString(var part), TorchInteger(var start), TorchInteger(var count)])]
                when start >= 0 && count >= 0 && start <= elements && count <= elements - start && part.Length <= MaxKeyLength
                => Described(part, new PickledStorageView(whole.Storage, start, count)),
            _ => throw new InvalidDataException($"a view of storage {Quote(key)} is not (key, offset, number of elements) inside it"),
        };
    }

    /// <summary>A persistent id as protocol 0 writes it: the text of Python's tuple.</summary>
    public TorchValue Persistent(string id)
    {
        if (legacy && id.StartsWith("('module', ", StringComparison.Ordinal))
        {
            return new TorchOpaque("torch.nn", "Module");
        }

        GroupCollection parts = Regex.Match(
            id, @"^\('storage', <class 'torch\.(?:storage\.)?(\w+)'>, '(\w+)', '([\w:]+)', (\d{1,18})"
                + @"(?:, None|(, \('(\w+)', (\d{1,18}), (\d{1,18})\)))?\)$").Groups;
        TorchValue[] storage =
        [
            new TorchString("storage"), new TorchOpaque("torch", parts[1].Value), parts[2].Value, parts[3].Value, Number(parts[4]),
        ];
        TorchValue view = parts[5].Success
            ? new TorchTuple([parts[6].Value, Number(parts[7]), Number(parts[8])])
            : TorchNone.Value;
        return Persistent(!parts[0].Success ? [] : legacy ? [.. storage, view] : storage);

        static TorchValue Number(Group digits)
            => digits.Success ? long.Parse(digits.ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture) : TorchNone.Value;
    }

    private PickledStorageView Described(string key, PickledStorageView part)
    {
        if (!_parts.TryAdd(key, part) && _parts[key] != part)
        {
            throw new InvalidDataException($"storage {Quote(key)} has two descriptions");
        }

        return _parts[key];
    }

    /// <summary>Alternating keys and values of a sequence of pairs; null if it is not one. Counted: it may occur often.</summary>
    private TorchValue[]? Pairs(TorchValue sequence)
    {
        Counted(sequence, sequence.Parts.Count());
        TorchValue[][] pairs = [.. sequence.Parts.Select(pair => pair is TorchTuple or TorchList ? pair.Parts.Take(3).ToArray() : [])];
        return pairs.All(pair => pair.Length == 2) ? [.. pairs.SelectMany(pair => pair)] : null;
    }

    private static long[] Longs(TorchTuple values)
        => Array.ConvertAll(
            values.Items,
            value => value is TorchInteger(var number) ? number : throw new InvalidDataException("a size or stride is not an integer"));
}
