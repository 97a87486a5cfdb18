using System.Buffers.Binary;
using System.Collections;
using System.Text;
using static TorchSharp.PyBridge.Malformed;
using static TorchSharp.torch;

namespace TorchSharp.PyBridge;

/// <summary>
/// The part of Python's pickle machine (protocols 2 to 5) that <c>torch.save</c> uses for dictionaries of tensors and plain values.
/// Nothing is ever executed: a global outside the short list in <see cref="Global"/> is refused. The machine has no recursion, and
/// what a pickle can make it allocate is bounded.
/// </summary>
internal sealed class PickleReader
{
    // A pickle byte can stand for a container of some 200 bytes; these two bound what a hostile file costs.
    private const int MostContainers = 1_000_000;
    private const int LongestKey = 1024;
    private const int MostWideKeys = 10_000;

    /// <summary>The greatest length of a pickle that is accepted, in bytes: some 100,000 tensors.</summary>
    public const int LongestPickle = 16 << 20;

    private static readonly object True = true;
    private static readonly object False = false;
    private static readonly UTF8Encoding Utf8 = new(false, throwOnInvalidBytes: true);

    private readonly byte[] _pickle;
    private readonly List<object?> _stack = [];
    private readonly Stack<int> _marks = new();
    private readonly Dictionary<uint, object?> _memo = [];
    private readonly Dictionary<string, PickledPart> _parts = [];
    private readonly bool _legacy;
    private int _position;
    private int _containers;
    private int _wideKeys;

    private PickleReader(byte[] pickle, int start, bool legacy) => (_pickle, _position, _legacy) = (pickle, start, legacy);

    /// <summary>The globals that a pickle may call.</summary>
    private enum Callable
    {
        OrderedDict,
        RebuildTensor,
        RebuildEarlyTensor,
        RebuildParameter,
        Size,
    }

    /// <summary>
    /// The pickled object: <see cref="Hashtable"/> (dict), <see cref="ArrayList"/> (list), <c>object?[]</c> (tuple), string, long, double,
    /// bool, null, <see cref="PickledTensor"/>; in a malformed pickle also <see cref="PickledPart"/> and private kinds, and cycles.
    /// </summary>
    /// <param name="pickle">Bytes with the pickle among them.</param>
    /// <param name="start">Where it starts.</param>
    /// <param name="legacy">Whether its persistent ids are those from before PyTorch 1.6, which may name parts of storages.</param>
    /// <exception cref="InvalidDataException">Malformed, or with something that is refused; the message says what and where.</exception>
    public static Pickled Read(byte[] pickle, int start = 0, bool legacy = false)
    {
        Require(pickle.Length <= LongestPickle, "the pickle is longer than 16 MiB");
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
                    object? result = reader.Pop();
                    return reader._stack.Count == 0
                        ? new Pickled(result, [.. reader._parts.Values.Select(part => part.Storage).Distinct()], reader._position)
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
                Require(protocol is >= 2 and <= 5, "the pickle has another protocol than 2 to 5");
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
                string name = Pop<string>("name of a global");
                Push(Global(Pop<string>("module of a global"), name));
                break;
            case (byte)'R': // REDUCE
                object?[] arguments = Pop<object?[]>("tuple of arguments");
                Push(Call(Pop<Callable>("callable"), arguments));
                break;
            case (byte)'b': // BUILD: attributes of an OrderedDict, such as a state dictionary's _metadata
                Pop();
                Require(Top() is Hashtable, "only dictionaries can have attributes");
                break;
            case (byte)'Q': // BINPERSID
                Push(Storage(Pop<object?[]>("persistent id")));
                break;
            default:
                if (!PushScalar(code) && !PushContainer(code))
                {
                    throw new InvalidDataException($"pickle instruction 0x{code:x2} is not one that torch.save writes for tensors and plain values");
                }

                break;
        }
    }

    private bool PushScalar(byte code)
    {
        switch (code)
        {
            case (byte)'N': // NONE
                Push(null);
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
                Push(Counted(new ArrayList(0)));
                return true;
            case (byte)'}': // EMPTY_DICT
                Push(Counted(new Hashtable()));
                return true;
            case (byte)')': // EMPTY_TUPLE
                Push(Array.Empty<object?>());
                return true;
            case 0x85 or 0x86 or 0x87: // TUPLE1, TUPLE2, TUPLE3
                Push(Counted(PopMany(code - 0x84)));
                return true;
            case (byte)'t': // TUPLE
                Push(Counted(PopToMark()));
                return true;
            case (byte)'a': // APPEND
                object? item = Pop();
                Top<ArrayList>("list").Add(item);
                return true;
            case (byte)'e': // APPENDS
                object?[] items = PopToMark();
                Top<ArrayList>("list").AddRange(items);
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

    private void SetItems(object?[] pairs)
    {
        Hashtable target = Top<Hashtable>("dictionary");
        Require(pairs.Length % 2 == 0, "a dictionary's last key has no value");
        for (int k = 0; k < pairs.Length; k += 2)
        {
            // 32-bit integers hash without collisions that somebody could choose; strings hash in time that grows with their length. Old
            // PyTorch has wider ones, objects' addresses, for the parameters of an optimiser: so few that collisions do not matter.
            object key = pairs[k] switch
            {
                string text when text.Length <= LongestKey => text,
                long number when number == (int)number || ++_wideKeys <= MostWideKeys => number,
                long => throw new InvalidDataException($"the pickle has more than {MostWideKeys} keys beyond 32 bits"),
                _ => throw new InvalidDataException("a dictionary's key is no (short) string and no integer"),
            };
            int before = target.Count;
            target[key] = pairs[k + 1];
            if (target.Count == before)
            {
                throw new InvalidDataException($"a dictionary has the key {Quote(key.ToString()!)} twice");
            }
        }
    }

    private static object Global(string module, string name)
    {
        if (module == "torch")
        {
            foreach ((string storage, ScalarType type, _) in PickledStorage.Classes)
            {
                if (name == storage)
                {
                    return type;
                }
            }
        }

        return (module, name) switch
        {
            ("collections", "OrderedDict") => Callable.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Callable.RebuildTensor,
            ("torch._utils", "_rebuild_tensor") => Callable.RebuildEarlyTensor,
            ("torch._utils", "_rebuild_parameter") => Callable.RebuildParameter,
            ("torch", "Size") => Callable.Size,
            _ => throw new InvalidDataException(
                $"the file asks for {Quote($"{module}.{name}")}, which is not allowed: only tensors and plain values are read, and no code is run"),
        };
    }

    private object Call(Callable callable, object?[] arguments) => (callable, arguments) switch
    {
        (Callable.OrderedDict, []) => Counted(new Hashtable()),
        (Callable.Size, [object?[] size]) => size,
        // Storage, offset, size, stride, requires_grad, hooks, and since PyTorch 1.13 what the view does to the values (nothing, when empty).
        (Callable.RebuildTensor, [PickledPart part, long offset, object?[] size, object?[] stride, bool, Hashtable])
            => Counted(new PickledTensor(part, offset, Longs(size), Longs(stride))),
        (Callable.RebuildTensor, [.. object?[] tensor, null or Hashtable { Count: 0 }]) when tensor.Length == 6 => Call(callable, tensor),
        (Callable.RebuildEarlyTensor, [PickledPart part, long offset, object?[] size, object?[] stride]) // until PyTorch 0.3
            => Counted(new PickledTensor(part, offset, Longs(size), Longs(stride))),
        (Callable.RebuildParameter, [PickledTensor tensor, bool, Hashtable]) => tensor,
        _ => throw new InvalidDataException($"{callable} has arguments that do not fit it"),
    };

    /// <summary>('storage', type, key, location, number of elements), in legacy files with None or (key of a part, its start, its elements) behind.</summary>
    private PickledPart Storage(object?[] id)
    {
        if (id.Length != (_legacy ? 6 : 5) || id is not ["storage", ScalarType type, string key, string, long elements, ..] || elements < 0 || key.Length > LongestKey)
        {
            throw new InvalidDataException("a persistent id is not ('storage', type, key, location, number of elements) and a view where one belongs");
        }

        PickledPart whole = Described(key, new PickledPart(new PickledStorage(type, key, elements), 0, elements));
        return id switch
        {
            [_, _, _, _, _] or [.., null] => whole,
            [.., object?[] and [string part, long start, long count]] when start >= 0 && count >= 0 && start <= elements && count <= elements - start && part.Length <= LongestKey
                => Described(part, new PickledPart(whole.Storage, start, count)),
            _ => throw new InvalidDataException($"a view of storage {Quote(key)} is not (key, offset, number of elements) inside it"),
        };
    }

    private PickledPart Described(string key, PickledPart part)
    {
        if (!_parts.TryAdd(key, part) && _parts[key] != part)
        {
            throw new InvalidDataException($"storage {Quote(key)} has two descriptions");
        }

        return _parts[key];
    }

    private static long[] Longs(object?[] values)
        => Array.ConvertAll(values, value => value is long number ? number : throw new InvalidDataException("a size or stride is no integer"));

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
            throw new InvalidDataException("a text is not UTF-8");
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

    // Legacy pickles have no length of their own: more than the accepted ones is never looked at.
    private string Ending => _pickle.Length < LongestPickle ? "the pickle ends early" : "the pickle ends early, or behind the 16 MiB that are accepted";

    private object? Recall(uint index)
        => _memo.TryGetValue(index, out object? value) ? value : throw new InvalidDataException($"memo {index} was never set");

    private T Counted<T>(T container)
        => ++_containers <= MostContainers
            ? container
            : throw new InvalidDataException($"the pickle has more than {MostContainers} lists, tuples, dictionaries and tensors");

    private void Push(object? value) => _stack.Add(value);

    private object? Top()
    {
        Require(_stack.Count > (_marks.TryPeek(out int mark) ? mark : 0), "the pickle takes a value that is not there");
        return _stack[^1];
    }

    private T Top<T>(string wanted) => Top() is T value ? value : throw new InvalidDataException($"the pickle has no {wanted} where one is needed");

    private object? Pop()
    {
        object? value = Top();
        _stack.RemoveAt(_stack.Count - 1);
        return value;
    }

    private T Pop<T>(string wanted) => Pop() is T value ? value : throw new InvalidDataException($"the pickle has no {wanted} where one is needed");

    private object?[] PopMany(int count)
    {
        Require(_stack.Count - count >= (_marks.TryPeek(out int mark) ? mark : 0), "the pickle takes values that are not there");
        object?[] values = [.. _stack.GetRange(_stack.Count - count, count)];
        _stack.RemoveRange(_stack.Count - count, count);
        return values;
    }

    private object?[] PopToMark()
    {
        Require(_marks.TryPop(out int mark), "the pickle ends a list that it never began");
        return PopMany(_stack.Count - mark);
    }
}
