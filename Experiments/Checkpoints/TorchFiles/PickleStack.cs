using static Imta.MetaWeight.Experiments.Checkpoints.TorchFiles.FormatGuard;

namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>The pickle machine's state: its stack with marks, and its memo. Each operation throws an
/// <see cref="InvalidDataException"/> if the pickle asks for something that is not there.</summary>
internal sealed class PickleStack
{
    private readonly List<TorchValue> _values = [];
    private readonly Stack<int> _marks = new();
    private readonly Dictionary<uint, TorchValue> _memo = [];

    public int Count => _values.Count;

    private int Floor => _marks.TryPeek(out int mark) ? mark : 0;

    public void Push(TorchValue value) => _values.Add(value);

    public void Mark() => _marks.Push(_values.Count);

    public TorchValue Top()
    {
        Require(_values.Count > Floor, "the pickle pops a value from an empty stack");
        return _values[^1];
    }

    public TorchValue Pop()
    {
        TorchValue value = Top();
        _values.RemoveAt(_values.Count - 1);
        return value;
    }

    public T Pop<T>(string expected)
        where T : TorchValue
        => Pop() as T ?? throw new InvalidDataException($"the pickle has no {expected} where one is expected");

    public TorchValue[] PopMany(int count)
    {
        Require(_values.Count - count >= Floor, "the pickle pops more values than the stack has");
        TorchValue[] values = [.. _values.GetRange(_values.Count - count, count)];
        _values.RemoveRange(_values.Count - count, count);
        return values;
    }

    public TorchValue[] PopToMark()
    {
        Require(_marks.TryPop(out int mark), "the pickle ends a list that it never started");
        return PopMany(_values.Count - mark);
    }

    /// <summary>Python's POP, which removes a mark if no value lies above it.</summary>
    public void Discard()
    {
        if (_values.Count > Floor || !_marks.TryPop(out _))
        {
            Pop();
        }
    }

    public void Memoise() => Memoise((uint)_memo.Count);

    public void Memoise(uint index) => _memo[index] = Top();

    public void Recall(uint index)
        => Push(_memo.TryGetValue(index, out TorchValue? value) ? value : throw new InvalidDataException($"memo {index} was never set"));
}
