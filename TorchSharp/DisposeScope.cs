namespace TorchSharp;

public static partial class torch
{
    /// <summary>The innermost dispose scope of this thread, or null.</summary>
    public static DisposeScope? CurrentDisposeScope => DisposeScope.Current;

    /// <summary>Opens a scope: what is created on this thread until it closes is disposed with it, unless it was moved out.</summary>
    public static DisposeScope NewDisposeScope() => new();
}

/// <summary>
/// Owns the tensors that are created on its thread while it is the innermost scope, and disposes them when it closes. Native memory
/// is invisible to the garbage collector, so every phase of a training step has a scope of its own.
/// </summary>
public sealed class DisposeScope : IDisposable
{
    [ThreadStatic]
    private static DisposeScope? _current;

    // A tensor knows its place in the list, so that it leaves as fast as it came; nearly everything here is a tensor.
    private readonly List<torch.Tensor> _tensors = [];
    private readonly List<IDisposable> _others = [];
    private bool _closed;

    internal DisposeScope()
    {
        Outer = Current;
        _current = this;
    }

    /// <summary>The innermost scope of this thread that is open: scopes may close out of order, or on another thread.</summary>
    internal static DisposeScope? Current
    {
        get
        {
            while (_current is { _closed: true })
            {
                _current = _current.Outer;
            }

            return _current;
        }
    }

    public int DisposablesCount => _tensors.Count + _others.Count;

    public IReadOnlyList<IDisposable> DisposablesView => [.. _tensors, .. _others];

    internal DisposeScope? Outer { get; }

    public bool Contains(IDisposable disposable) => disposable is torch.Tensor tensor ? tensor.Scope == this : _others.Contains(disposable);

    /// <summary>Takes something in: the scope owns it from now on.</summary>
    public void Attach(IDisposable disposable)
    {
        if (disposable is torch.Tensor tensor)
        {
            tensor.Scope?.Remove(tensor);
            Add(tensor);
        }
        else if (!Contains(disposable))
        {
            _others.Add(disposable);
        }
    }

    /// <summary>Lets something go: its owner is the caller from now on.</summary>
    public T Detach<T>(T disposable)
        where T : IDisposable
    {
        Remove(disposable);
        return disposable;
    }

    /// <summary>Hands something to the scope around this one; without one the caller owns it.</summary>
    public T MoveToOuter<T>(T disposable)
        where T : IDisposable => MoveToOther(Outer, disposable);

    /// <summary>Hands something to another scope; null: the caller owns it.</summary>
    public T MoveToOther<T>(DisposeScope? scope, T disposable)
        where T : IDisposable
    {
        if (Remove(disposable))
        {
            scope?.Attach(disposable);
        }

        return disposable;
    }

    public void DisposeEverything()
    {
        while (_tensors.Count > 0)
        {
            torch.Tensor last = _tensors[^1];
            Remove(last);
            last.Dispose();
        }

        IDisposable[] others = [.. _others];
        _others.Clear();
        Array.ForEach(others, other => other.Dispose());
    }

    /// <summary>What disposes itself takes itself off the list.</summary>
    public void MarkAsDisposed(IDisposable disposable) => Remove(disposable);

    public void Dispose()
    {
        _closed = true;
        DisposeEverything();
    }

    internal static void Register(torch.Tensor tensor) => Current?.Add(tensor);

    private void Add(torch.Tensor tensor)
    {
        tensor.Scope = this;
        tensor.PlaceInScope = _tensors.Count;
        _tensors.Add(tensor);
    }

    private bool Remove(IDisposable disposable)
    {
        if (disposable is not torch.Tensor tensor)
        {
            return _others.Remove(disposable);
        }

        if (tensor.Scope != this)
        {
            return false;
        }

        // The last one takes its place.
        torch.Tensor last = _tensors[^1];
        _tensors[tensor.PlaceInScope] = last;
        last.PlaceInScope = tensor.PlaceInScope;
        _tensors.RemoveAt(_tensors.Count - 1);
        tensor.Scope = null;
        return true;
    }
}
