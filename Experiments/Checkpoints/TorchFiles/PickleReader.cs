using static Imta.MetaWeight.Experiments.Checkpoints.TorchFiles.FormatGuard;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Python's pickle machine (protocols 0 to 5) as far as <c>torch.save</c> needs it. Nothing is ever executed: a call that
/// <see cref="PickledObjects"/> does not know becomes a <see cref="TorchOpaque"/> value. The machine does not recurse, and the memory a
/// pickle can make it allocate is bounded.
/// </summary>
internal sealed class PickleReader
{
    /// <summary>The maximum accepted pickle length in bytes: enough for about 100,000 tensors.</summary>
    public const int MaxPickleLength = 16 << 20;

    private static readonly TorchTuple Empty = new([]);
    private static readonly TorchOpaque Set = new("builtins", "set");

    private readonly PickleInput _input;
    private readonly PickleStack _stack = new();
    private readonly PickledObjects _objects;

    private PickleReader(PickleInput input, PickledObjects objects) => (_input, _objects) = (input, objects);

    /// <summary>
    /// The pickled object, every storage it refers to, and the position after it. Tensors are represented by
    /// <see cref="PickledTensor"/>s; a malformed pickle may also contain cycles.
    /// </summary>
    /// <param name="pickle">Bytes containing the pickle.</param>
    /// <param name="start">Where it starts.</param>
    /// <param name="legacy">Whether its persistent ids are in the format before PyTorch 1.6, which may refer to storage views.</param>
    /// <exception cref="InvalidDataException">The pickle is malformed; the message says how and where.</exception>
    public static (TorchValue Root, IReadOnlyCollection<PickledStorage> Storages, int End) Read(
        byte[] pickle, int start = 0, bool legacy = false)
    {
        Require(pickle.Length <= MaxPickleLength, "the pickle is longer than 16 MiB");
        var input = new PickleInput(pickle, start);
        var reader = new PickleReader(input, new PickledObjects(legacy));
        int instruction = start;
        try
        {
            while (true)
            {
                instruction = input.Position;
                byte code = input.Byte();
                if (code == '.')
                {
                    TorchValue result = reader._stack.Pop();
                    return reader._stack.Count == 0
                        ? (result, reader._objects.Storages, input.Position)
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
        if (_input.Scalar(code) is { } scalar)
        {
            _stack.Push(scalar);
        }
        else if (!Remember(code) && !Contain(code) && !Make(code))
        {
            throw new InvalidDataException($"unsupported pickle opcode 0x{code:x2}, which torch.save does not write");
        }
    }

    /// <summary>Instructions about the pickle itself, the stack and the memo.</summary>
    private bool Remember(byte code)
    {
        switch (code)
        {
            case 0x80: // PROTO
                Require(_input.Byte() <= 5, "the pickle protocol is not 0 to 5");
                return true;
            case 0x95: // FRAME: a hint for buffering
                _input.Bytes(8);
                return true;
            case (byte)'(': // MARK
                _stack.Mark();
                return true;
            case (byte)'0': // POP
                _stack.Discard();
                return true;
            case (byte)'1': // POP_MARK
                _stack.PopToMark();
                return true;
            case (byte)'2': // DUP
                _stack.Push(_stack.Top());
                return true;
            case (byte)'q': // BINPUT
                _stack.Memoise(_input.Byte());
                return true;
            case (byte)'r': // LONG_BINPUT
                _stack.Memoise(_input.UInt32());
                return true;
            case (byte)'p': // PUT
                _stack.Memoise(_input.Index());
                return true;
            case 0x94: // MEMOIZE
                _stack.Memoise();
                return true;
            case (byte)'h': // BINGET
                _stack.Recall(_input.Byte());
                return true;
            case (byte)'j': // LONG_BINGET
                _stack.Recall(_input.UInt32());
                return true;
            case (byte)'g': // GET
                _stack.Recall(_input.Index());
                return true;
            default:
                return false;
        }
    }

    /// <summary>Instructions that make and fill containers.</summary>
    private bool Contain(byte code)
    {
        switch (code)
        {
            case (byte)']': // EMPTY_LIST
                _stack.Push(_objects.Counted(new TorchList([])));
                return true;
            case (byte)'l': // LIST
                _stack.Push(_objects.Counted(new TorchList([.. _stack.PopToMark()])));
                return true;
            case (byte)'}': // EMPTY_DICT
                _stack.Push(_objects.Dictionary([]));
                return true;
            case (byte)'d': // DICT
                _stack.Push(_objects.Dictionary(_stack.PopToMark()));
                return true;
            case (byte)')': // EMPTY_TUPLE
                _stack.Push(Empty);
                return true;
            case 0x85 or 0x86 or 0x87: // TUPLE1, TUPLE2, TUPLE3
                _stack.Push(_objects.Counted(new TorchTuple(_stack.PopMany(code - 0x84))));
                return true;
            case (byte)'t': // TUPLE
                _stack.Push(_objects.Counted(new TorchTuple(_stack.PopToMark())));
                return true;
            case 0x8f: // EMPTY_SET
                _stack.Push(Set);
                return true;
            case 0x91: // FROZENSET
                _stack.PopToMark();
                _stack.Push(Set);
                return true;
            case (byte)'a': // APPEND
                TorchValue item = _stack.Pop();
                PickledObjects.Append(_stack.Top(), item);
                return true;
            case (byte)'e' or 0x90: // APPENDS, ADDITEMS
                TorchValue[] items = _stack.PopToMark();
                PickledObjects.Append(_stack.Top(), items);
                return true;
            case (byte)'s': // SETITEM
                TorchValue[] pair = _stack.PopMany(2);
                PickledObjects.Set(_stack.Top(), pair);
                return true;
            case (byte)'u': // SETITEMS
                TorchValue[] pairs = _stack.PopToMark();
                PickledObjects.Set(_stack.Top(), pairs);
                return true;
            default:
                return false;
        }
    }

    /// <summary>Instructions that name classes and functions, call them, or refer to data outside the pickle.</summary>
    private bool Make(byte code)
    {
        switch (code)
        {
            case (byte)'c': // GLOBAL
                _stack.Push(new TorchOpaque(_input.Line(), _input.Line()));
                return true;
            case 0x93: // STACK_GLOBAL
                string name = _stack.Pop<TorchString>("name of a global").Value;
                _stack.Push(new TorchOpaque(_stack.Pop<TorchString>("module of a global").Value, name));
                return true;
            case (byte)'R' or 0x81: // REDUCE, NEWOBJ
                TorchValue[] arguments = _stack.Pop<TorchTuple>("tuple of arguments").Items;
                _stack.Push(_objects.Call(_stack.Pop<TorchOpaque>("callable"), arguments));
                return true;
            case 0x92: // NEWOBJ_EX
                _stack.PopMany(2);
                _stack.Push(_stack.Pop<TorchOpaque>("callable"));
                return true;
            case (byte)'i': // INST
                _stack.Push(_objects.Call(new TorchOpaque(_input.Line(), _input.Line()), _stack.PopToMark()));
                return true;
            case (byte)'o': // OBJ
                _stack.Push(
                    _stack.PopToMark() is [TorchOpaque type, .. var given]
                        ? _objects.Call(type, given)
                        : throw new InvalidDataException("the pickle has no callable where one is expected"));
                return true;
            case (byte)'b': // BUILD: attributes, such as a state dictionary's _metadata
                _stack.Pop();
                _stack.Top();
                return true;
            case (byte)'Q': // BINPERSID
                _stack.Push(_objects.Persistent(_stack.Pop<TorchTuple>("persistent id").Items));
                return true;
            case (byte)'P': // PERSID
                _stack.Push(_objects.Persistent(_input.Line()));
                return true;
            default:
                return false;
        }
    }
}
