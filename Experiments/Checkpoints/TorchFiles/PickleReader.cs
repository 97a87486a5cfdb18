using System.Buffers.Binary;
using System.Text;
using static Imta.MetaWeight.Experiments.Checkpoints.TorchFiles.FormatGuard;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// The subset of Python's pickle machine (protocols 2 to 5) that <c>torch.save</c> uses for dictionaries of tensors and plain values.
/// Nothing is ever executed: a global outside the short list in <see cref="Global"/> is rejected. The machine does not recurse, and
/// the memory a pickle can make it allocate is bounded.
/// </summary>
internal sealed class PickleReader
{
    // A single pickle byte can create a container of about 200 bytes; these two limits bound the cost of a hostile file.
    private const int MaxContainers = 1_000_000;
    private const int MaxKeyLength = 1024;

    /// <summary>The maximum accepted pickle length in bytes: enough for about 100,000 tensors.</summary>
    public const int MaxPickleLength = 16 << 20;

    private static readonly TorchValue True = true;
    private static readonly TorchValue False = false;
    private static readonly TorchTuple Empty = new([]);
    private static readonly UTF8Encoding Utf8 = new(false, throwOnInvalidBytes: true);

    private readonly byte[] _pickle;
    private readonly List<TorchValue> _stack = [];
    private readonly Stack<int> _marks = new();
    private readonly Dictionary<uint, TorchValue> _memo = [];
    private readonly Dictionary<string, PickledStorageView> _parts = [];
    private readonly bool _legacy;
    private int _position;
    private int _containers;

    private PickleReader(byte[] pickle, int start, bool legacy) => (_pickle, _position, _legacy) = (pickle, start, legacy);

    /// <summary>The globals that a pickle may call.</summary>
    private enum Function
    {
        OrderedDict,
        RebuildTensor,
        RebuildTensorV1,
        RebuildParameter,
        Size,
    }

    private sealed record Callable(Function Function) : TorchValue;

    private sealed record StorageClass(ScalarType Type) : TorchValue;

    /// <summary>
    /// The pickled object, every storage it refers to, and the position after it. Tensors are represented by
    /// <see cref="PickledTensor"/>s; a malformed pickle may also contain unexpected values and cycles.
    /// </summary>
    /// <param name="pickle">Bytes containing the pickle.</param>
    /// <param name="start">Where it starts.</param>
    /// <param name="legacy">Whether its persistent ids are in the format before PyTorch 1.6, which may refer to storage views.</param>
    /// <exception cref="InvalidDataException">The pickle is malformed or contains something disallowed; the message says what and
    /// where.</exception>
    public static (TorchValue Root, IReadOnlyCollection<PickledStorage> Storages, int End) Read(
        byte[] pickle, int start = 0, bool legacy = false)
    {
        Require(pickle.Length <= MaxPickleLength, "the pickle is longer than 16 MiB");
        var reader = new PickleReader(pickle, start, legacy);
        int instruction = start;
        try
        {
            while (true)
            {
                instruction = reader._position;
                byte code = reader.Bytes(1)[0];
                if (code == '.')
                {
                    TorchValue result = reader.Pop();
                    return reader._stack.Count == 0
                        ? (result, [.. reader._parts.Values.Select(part => part.Storage).Distinct()], reader._position)
                        : throw new InvalidDataException("the pickle stops in the middle of a value");
                }

                reader.Step(code);
            }
        }
        catch (InvalidDataException e)
        {
            throw new InvalidDataException($"{e.Message} (at byte {instruction - start} of the pickle)", e);
        }
    }

    private void Step(byte code)
    {
        switch (code)
        {
            case 0x80: // PROTO
                byte protocol = Bytes(1)[0];
                Require(protocol is >= 2 and <= 5, "the pickle protocol is not 2 to 5");
                break;
            case 0x95: // FRAME: a hint for buffering
                Bytes(8);
                break;
            case (byte)'(': // MARK
                _marks.Push(_stack.Count);
                break;
            case (byte)'q': // BINPUT
                _memo[Bytes(1)[0]] = Top();
                break;
            case (byte)'r': // LONG_BINPUT
                _memo[BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4))] = Top();
                break;
            case 0x94: // MEMOIZE
                _memo[(uint)_memo.Count] = Top();
                break;
            case (byte)'h': // BINGET
                Push(Recall(Bytes(1)[0]));
                break;
            case (byte)'j': // LONG_BINGET
                Push(Recall(BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4))));
                break;
            case (byte)'c': // GLOBAL
                Push(Global(Line(), Line()));
                break;
            case 0x93: // STACK_GLOBAL
                string name = Pop<TorchString>("name of a global").Value;
                Push(Global(Pop<TorchString>("module of a global").Value, name));
                break;
            case (byte)'R': // REDUCE
                TorchTuple arguments = Pop<TorchTuple>("tuple of arguments");
                Push(Call(Pop<Callable>("callable").Function, arguments));
                break;
            case (byte)'b': // BUILD: attributes of an OrderedDict, such as a state dictionary's _metadata
                Pop();
                Require(Top() is TorchDictionary, "only dictionaries can have attributes");
                break;
            case (byte)'Q': // BINPERSID
                Push(Storage(Pop<TorchTuple>("persistent id").Items));
                break;
            default:
                if (!PushScalar(code) && !PushContainer(code))
                {
                    throw new InvalidDataException(
                        $"unsupported pickle opcode 0x{code:x2}, which torch.save does not write for tensors and plain values");
                }

                break;
        }
    }

    private bool PushScalar(byte code)
    {
        switch (code)
        {
            case (byte)'N': // NONE
                Push(TorchNone.Value);
                return true;
            case 0x88: // NEWTRUE
                Push(True);
                return true;
            case 0x89: // NEWFALSE
                Push(False);
                return true;
            case (byte)'J': // BININT
                Push((long)BinaryPrimitives.ReadInt32LittleEndian(Bytes(4)));
                return true;
            case (byte)'K': // BININT1
                Push((long)Bytes(1)[0]);
                return true;
            case (byte)'M': // BININT2
                Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Bytes(2)));
                return true;
            case 0x8a: // LONG1
                Push(Long(Bytes(Bytes(1)[0])));
                return true;
            case (byte)'G': // BINFLOAT
                Push(BinaryPrimitives.ReadDoubleBigEndian(Bytes(8)));
                return true;
            case 0x8c: // SHORT_BINUNICODE
                Push(Text(Bytes(Bytes(1)[0])));
                return true;
            case (byte)'X': // BINUNICODE
                Push(Text(Bytes(BinaryPrimitives.ReadUInt32LittleEndian(Bytes(4)))));
                return true;
            default:
                return false;
        }
    }

    private bool PushContainer(byte code)
    {
        switch (code)
        {
            case (byte)']': // EMPTY_LIST
                Push(Counted(new TorchList([])));
                return true;
            case (byte)'}': // EMPTY_DICT
                Push(Counted(new TorchDictionary()));
                return true;
            case (byte)')': // EMPTY_TUPLE
                Push(Empty);
                return true;
            case 0x85 or 0x86 or 0x87: // TUPLE1, TUPLE2, TUPLE3
                Push(Counted(new TorchTuple(PopMany(code - 0x84))));
                return true;
            case (byte)'t': // TUPLE
                Push(Counted(new TorchTuple(PopToMark())));
                return true;
            case (byte)'a': // APPEND
                TorchValue item = Pop();
                Top<TorchList>("list").Items.Add(item);
                return true;
            case (byte)'e': // APPENDS
                TorchValue[] items = PopToMark();
                Top<TorchList>("list").Items.AddRange(items);
                return true;
            case (byte)'s': // SETITEM
                SetItems(PopMany(2));
                return true;
            case (byte)'u': // SETITEMS
                SetItems(PopToMark());
                return true;
            default:
                return false;
        }
    }

    private void SetItems(TorchValue[] pairs)
    {
        TorchDictionary target = Top<TorchDictionary>("dictionary");
        Require(pairs.Length % 2 == 0, "a dictionary's last key has no value");
        for (int k = 0; k < pairs.Length; k += 2)
        {
            TorchKey key = pairs[k] switch
            {
                TorchString(var text) when text.Length <= MaxKeyLength => text,
                TorchInteger(var number) => number,
                _ => throw new InvalidDataException("a dictionary key is neither a (short) string nor an integer"),
            };
            Require(target.Entries.TryAdd(key, pairs[k + 1]), $"a dictionary contains the key {Quote(key.ToString())} twice");
        }
    }

    private static TorchValue Global(string module, string name)
    {
        if (module == "torch")
        {
            foreach ((string storage, ScalarType type, _) in PickledStorage.Classes)
            {
                if (name == storage)
                {
                    return new StorageClass(type);
                }
            }
        }

        return (module, name) switch
        {
            ("collections", "OrderedDict") => new Callable(Function.OrderedDict),
            ("torch._utils", "_rebuild_tensor_v2") => new Callable(Function.RebuildTensor),
            ("torch._utils", "_rebuild_tensor") => new Callable(Function.RebuildTensorV1),
            ("torch._utils", "_rebuild_parameter") => new Callable(Function.RebuildParameter),
            ("torch", "Size") => new Callable(Function.Size),
            _ => throw new InvalidDataException(
                $"the file asks for {Quote($"{module}.{name}")}, which is not allowed: only tensors and plain values are read, and no "
                    + "code is executed"),
        };
    }

    private TorchValue Call(Function function, TorchTuple arguments) => (function, arguments.Items) switch
    {
        (Function.OrderedDict, [] or [TorchTuple { Items: [] }]) => Counted(new TorchDictionary()),
        (Function.Size, [TorchTuple size]) => size,
        // Storage, offset, size, stride, requires_grad, hooks, and since PyTorch 1.13 what the view does to the values (nothing if empty).
        (Function.RebuildTensor,
            [PickledStorageView part, TorchInteger(var offset), TorchTuple size, TorchTuple stride, TorchBool, TorchDictionary])
            => Counted(new PickledTensor(part, offset, Longs(size), Longs(stride))),
        (Function.RebuildTensor, [.. var tensor, TorchNone or TorchDictionary { Entries.Count: 0 }]) when tensor.Length == 6
            => Call(function, new TorchTuple(tensor)),
        // until PyTorch 0.3
        (Function.RebuildTensorV1, [PickledStorageView part, TorchInteger(var offset), TorchTuple size, TorchTuple stride])
            => Counted(new PickledTensor(part, offset, Longs(size), Longs(stride))),
        (Function.RebuildParameter, [PickledTensor tensor, TorchBool, TorchDictionary]) => tensor,
        _ => throw new InvalidDataException($"{function} has unsupported arguments"),
    };

    /// <summary>
    /// ('storage', type, key, location, number of elements), in legacy files followed by None or (view key, offset, number of elements).
    /// </summary>
    private PickledStorageView Storage(TorchValue[] id)
    {
        if (id.Length != (_legacy ? 6 : 5)
            || id is not [TorchString("storage"), StorageClass(var type), TorchString(var key), TorchString, TorchInteger(var elements), ..]
            || elements < 0 || key.Length > MaxKeyLength)
        {
            throw new InvalidDataException(
                "a persistent id is not ('storage', type, key, location, number of elements) with a view where one is expected");
        }

        PickledStorageView whole = Described(key, new PickledStorageView(new PickledStorage(type, key, elements), 0, elements));
        return id switch
        {
            [_, _, _, _, _] or [.., TorchNone] => whole,
            [.., TorchTuple([TorchString(var part), TorchInteger(var start), TorchInteger(var count)])]
                when start >= 0 && count >= 0 && start <= elements && count <= elements - start && part.Length <= MaxKeyLength
                => Described(part, new PickledStorageView(whole.Storage, start, count)),
            _ => throw new InvalidDataException($"a view of storage {Quote(key)} is not (key, offset, number of elements) inside it"),
        };
    }

    private PickledStorageView Described(string key, PickledStorageView part)
    {
        if (!_parts.TryAdd(key, part) && _parts[key] != part)
        {
            throw new InvalidDataException($"storage {Quote(key)} has two descriptions");
        }

        return _parts[key];
    }

    private static long[] Longs(TorchTuple values)
        => Array.ConvertAll(
            values.Items,
            value => value is TorchInteger(var number) ? number : throw new InvalidDataException("a size or stride is not an integer"));

    private static long Long(ReadOnlySpan<byte> bytes)
    {
        Require(bytes.Length <= 8, "an integer does not fit 64 bits");
        long value = bytes.Length > 0 && (sbyte)bytes[^1] < 0 ? -1 : 0;
        for (int k = bytes.Length - 1; k >= 0; k--)
        {
            value = (value << 8) | bytes[k];
        }

        return value;
    }

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        try
        {
            return Utf8.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            throw new InvalidDataException("a string is not UTF-8");
        }
    }

    private string Line()
    {
        int length = _pickle.AsSpan(_position).IndexOf((byte)'\n');
        Require(length >= 0, Ending);
        string line = Text(Bytes(length));
        _position++;
        return line;
    }

    private ReadOnlySpan<byte> Bytes(long count)
    {
        Require(count <= _pickle.Length - _position, Ending);
        _position += (int)count;
        return _pickle.AsSpan(_position - (int)count, (int)count);
    }

    // Legacy pickles have no length field: bytes beyond the accepted length are never read.
    private string Ending
        => _pickle.Length < MaxPickleLength ? "the pickle is truncated" : "the pickle is truncated, or exceeds the accepted 16 MiB";

    private TorchValue Recall(uint index)
        => _memo.TryGetValue(index, out TorchValue? value) ? value : throw new InvalidDataException($"memo {index} was never set");

    private T Counted<T>(T container)
        where T : TorchValue
        => ++_containers <= MaxContainers
            ? container
            : throw new InvalidDataException($"the pickle has more than {MaxContainers} lists, tuples, dictionaries and tensors");

    private void Push(TorchValue value) => _stack.Add(value);

    private TorchValue Top()
    {
        Require(_stack.Count > (_marks.TryPeek(out int mark) ? mark : 0), "the pickle pops a value from an empty stack");
        return _stack[^1];
    }

    private T Top<T>(string wanted)
        where T : TorchValue
        => Top() is T value ? value : throw new InvalidDataException($"the pickle has no {wanted} where one is expected");

    private TorchValue Pop()
    {
        TorchValue value = Top();
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    private T Pop<T>(string wanted)
        where T : TorchValue
        => Pop() is T value ? value : throw new InvalidDataException($"the pickle has no {wanted} where one is expected");

    private TorchValue[] PopMany(int count)
    {
        Require(_stack.Count - count >= (_marks.TryPeek(out int mark) ? mark : 0), "the pickle pops more values than the stack has");
        TorchValue[] values = [.. _stack.GetRange(_stack.Count - count, count)];
        _stack.RemoveRange(_stack.Count - count, count);
        return values;
    }

    private TorchValue[] PopToMark()
    {
        Require(_marks.TryPop(out int mark), "the pickle ends a list that it never started");
        return PopMany(_stack.Count - mark);
    }
}
