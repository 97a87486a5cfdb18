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

    private readonly HashSet<IDisposable> _owned = new(ReferenceEqualityComparer.Instance);
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

    public int DisposablesCount => _owned.Count;

    public IReadOnlyList<IDisposable> DisposablesView => [.. _owned];

    internal DisposeScope? Outer { get; }

    public bool Contains(IDisposable disposable) => _owned.Contains(disposable);

    /// <summary>Takes something in: the scope owns it from now on.</summary>
    public void Attach(IDisposable disposable)
    {
        if (disposable is torch.Tensor tensor)
        {
            tensor.Scope?._owned.Remove(tensor);
            tensor.Scope = this;
        }

        _owned.Add(disposable);
    }

    /// <summary>Lets something go: its owner is the caller from now on.</summary>
    public T Detach<T>(T disposable)
        where T : IDisposable
    {
        if (_owned.Remove(disposable) && disposable is torch.Tensor tensor)
        {
            tensor.Scope = null;
        }

        return disposable;
    }

    /// <summary>Hands something to the scope around this one; without one the caller owns it.</summary>
    public T MoveToOuter<T>(T disposable)
        where T : IDisposable => MoveToOther(Outer, disposable);

    /// <summary>Hands something to another scope; null: the caller owns it.</summary>
    public T MoveToOther<T>(DisposeScope? scope, T disposable)
        where T : IDisposable
    {
        if (_owned.Contains(disposable))
        {
            Detach(disposable);
            scope?.Attach(disposable);
        }

        return disposable;
    }

    public void DisposeEverything()
    {
        // What is disposed may report back here (MarkAsDisposed), so the walk is over a copy.
        IDisposable[] owned = [.. _owned];
        _owned.Clear();
        foreach (IDisposable disposable in owned)
        {
            if (disposable is torch.Tensor tensor)
            {
                tensor.Scope = null;
            }

            disposable.Dispose();
        }
    }

    /// <summary>What disposes itself takes itself off the list.</summary>
    public void MarkAsDisposed(IDisposable disposable) => _owned.Remove(disposable);

    public void Dispose()
    {
        _closed = true;
        DisposeEverything();
    }

    internal static void Register(torch.Tensor tensor)
    {
        if (Current is { } scope)
        {
            scope._owned.Add(tensor);
            tensor.Scope = scope;
        }
    }
}
