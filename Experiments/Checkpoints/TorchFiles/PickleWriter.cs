using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Pickles dictionaries of tensors and plain values (protocol 2) as <c>torch.save</c> does; the tensors' elements are stored separately.
/// </summary>
internal sealed class PickleWriter
{
    private static readonly UTF8Encoding Utf8 = new(false, throwOnInvalidBytes: true);

    private readonly ArrayBufferWriter<byte> _pickle = new();
    private readonly List<Tensor> _tensors = [];

    private PickleWriter()
    {
    }

    /// <summary>The pickle, and the tensors whose elements go into storages 0, 1, 2, … next to it.</summary>
    /// <exception cref="ArgumentException">An element type or string that cannot be written, or content beyond the reader's
    /// limits.</exception>
    public static (byte[] Pickle, IReadOnlyList<Tensor> Tensors) Write(TorchDictionary source)
    {
        var writer = new PickleWriter();
        writer.Code(0x80, 2); // PROTO
        writer.Value(source, "", 0);
        writer.Code('.'); // STOP
        byte[] pickle = writer._pickle.WrittenSpan.ToArray();
        try
        {
            // Nothing beyond the reader's limits may be written.
            PickleReader.Read(pickle);
        }
        catch (InvalidDataException e)
        {
            throw new ArgumentException($"The dictionary could not be read back: {e.Message}.", nameof(source), e);
        }

        return (pickle, writer._tensors);
    }

    private void Value(TorchValue value, string path, int depth)
    {
        if (depth == PickledContents.MaxDepth && value is TorchDictionary or TorchList or TorchTuple)
        {
            throw new ArgumentException($"{path[..80]}… is nested more than {PickledContents.MaxDepth} deep, or contains itself.");
        }

        switch (value)
        {
            case TorchNone:
                Code('N'); // NONE
                break;
            case TorchBool(var truth):
                Code(truth ? 0x88 : 0x89); // NEWTRUE, NEWFALSE
                break;
            case TorchInteger(var number):
                Integer(number);
                break;
            case TorchFloat(var number):
                Span<byte> bytes = stackalloc byte[8];
                BinaryPrimitives.WriteDoubleBigEndian(bytes, number);
                Code('G'); // BINFLOAT
                _pickle.Write(bytes);
                break;
            case TorchString(var text):
                Text(text);
                break;
            case TorchTensor(var tensor):
                TensorValue(tensor, path);
                break;
            case TorchDictionary dictionary:
                Dictionary(dictionary, path, depth);
                break;
            case TorchTuple(var items):
                Items('(', items, 't', path, depth); // MARK … TUPLE
                break;
            case TorchList(var items):
                Code(']'); // EMPTY_LIST
                Items('(', items, 'e', path, depth); // MARK … APPENDS
                break;
            default:
                throw new ArgumentException($"{path} is {value}, which cannot be written.");
        }
    }

    private void Dictionary(TorchDictionary dictionary, string path, int depth)
    {
        Code('}', '('); // EMPTY_DICT, MARK
        foreach ((TorchKey key, TorchValue value) in dictionary.Entries)
        {
            if (key.Text?.Length > PickledObjects.MaxKeyLength)
            {
                throw new ArgumentException(
                    $"{path} has the key {key.Text[..80]}… of more than {PickledObjects.MaxKeyLength} characters.");
            }

            Value(key.Text is { } text ? text : key.Number, path, depth + 1);
            Value(value, $"{path}/{key}", depth + 1);
        }

        Code('u'); // SETITEMS
    }

    private void Items(char before, IReadOnlyList<TorchValue> items, char after, string path, int depth)
    {
        Code(before);
        for (int k = 0; k < items.Count; k++)
        {
            Value(items[k], $"{path}[{k}]", depth + 1);
        }

        Code(after);
    }

    /// <summary><c>_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)</c>, contiguous in its own storage.</summary>
    private void TensorValue(Tensor tensor, string path)
    {
        string? storage = PickledStorage.Classes.SingleOrDefault(known => known.Type == tensor.dtype).Name;
        if (storage is null)
        {
            throw new ArgumentException($"{path} has elements of type {tensor.dtype}, which cannot be written.");
        }

        Global("torch._utils", "_rebuild_tensor_v2");
        Code('(', '('); // MARK, MARK
        Text("storage");
        Global("torch", storage);
        Text($"{_tensors.Count}");
        Text("cpu");
        Integer(tensor.NumberOfElements);
        Code('t', 'Q'); // TUPLE, BINPERSID
        Integer(0);
        long[] size = tensor.shape;
        Integers(size);
        Integers(RowByRow(size));
        Code(0x89); // NEWFALSE
        Global("collections", "OrderedDict");
        Code(')', 'R', 't', 'R'); // EMPTY_TUPLE, REDUCE, TUPLE, REDUCE
        _tensors.Add(tensor);
    }

    private static long[] RowByRow(long[] size)
    {
        var stride = new long[size.Length];
        long next = 1;
        for (int d = size.Length - 1; d >= 0; d--)
        {
            stride[d] = next;
            next *= Math.Max(size[d], 1);
        }

        return stride;
    }

    private void Integers(long[] values)
    {
        Code('('); // MARK
        foreach (long value in values)
        {
            Integer(value);
        }

        Code('t'); // TUPLE
    }

    private void Integer(long value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        if (value == (int)value)
        {
            Code('J'); // BININT
            _pickle.Write(bytes[..4]);
        }
        else
        {
            Code(0x8a, 8); // LONG1
            _pickle.Write(bytes);
        }
    }

    private void Text(string text)
    {
        byte[] utf8 = Utf8.GetBytes(text);
        Span<byte> length = stackalloc byte[4];
        BinaryPrimitives.WriteInt32LittleEndian(length, utf8.Length);
        Code('X'); // BINUNICODE
        _pickle.Write(length);
        _pickle.Write(utf8);
    }

    private void Global(string module, string name) => _pickle.Write(Utf8.GetBytes($"c{module}\n{name}\n"));

    private void Code(params ReadOnlySpan<int> codes)
    {
        foreach (int code in codes)
        {
            _pickle.Write([(byte)code]);
        }
    }
}
