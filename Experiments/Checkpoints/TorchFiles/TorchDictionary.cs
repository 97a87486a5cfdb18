namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>A key of a dictionary: a string or an integer.</summary>
internal readonly record struct TorchKey(string? Text, long Number)
{
    public static implicit operator TorchKey(string text) => new(text, 0);

    public static implicit operator TorchKey(long number) => new(null, number);

    // Seeded and over all 64 bits: a hostile file cannot force hash collisions.
    public override int GetHashCode() => HashCode.Combine(Text, (int)Number, (int)(Number >> 32));

    public override string ToString() => Text ?? Number.ToString(System.Globalization.CultureInfo.InvariantCulture);
}

/// <summary>
/// An insertion-ordered dictionary. Typed lookups return the value or throw an <see cref="InvalidDataException"/> that names the key.
/// </summary>
internal sealed record TorchDictionary : TorchValue
{
    public TorchDictionary()
    {
    }

    public TorchDictionary(IEnumerable<KeyValuePair<string, Tensor>> tensors)
    {
        foreach ((string name, Tensor tensor) in tensors)
        {
            this[name] = tensor;
        }
    }

    public OrderedDictionary<TorchKey, TorchValue> Entries { get; } = [];

    /// <inheritdoc/>
    public override IEnumerable<TorchValue> Parts => Entries.Values;

    public TorchValue this[TorchKey key]
    {
        get => Entries.GetValueOrDefault(key) ?? throw new InvalidDataException($"it has no {FormatGuard.Quote(key.ToString())}");
        set => Entries[key] = value;
    }

    /// <summary>A value of a given type; null if missing or None.</summary>
    /// <exception cref="InvalidDataException">It has a different type.</exception>
    public T? Find<T>(TorchKey key)
        where T : TorchValue
        => Entries.GetValueOrDefault(key) is null or TorchNone ? null : Require<T>(key);

    public long Integer(TorchKey key) => Require<TorchInteger>(key).Value;

    public double Float(TorchKey key) => Require<TorchFloat>(key).Value;

    public string String(TorchKey key) => Require<TorchString>(key).Value;

    public Tensor Tensor(TorchKey key) => Require<TorchTensor>(key).Value;

    public TorchDictionary Dictionary(TorchKey key) => Require<TorchDictionary>(key);

    /// <summary>All entries as tensors by name.</summary>
    /// <exception cref="InvalidDataException">One of them is not a tensor.</exception>
    public Dictionary<string, Tensor> Tensors() => Entries.ToDictionary(
        entry => entry.Key.Text ?? throw new InvalidDataException($"the key {entry.Key} is a number, but a name is expected"),
        entry => Tensor(entry.Key));

    private T Require<T>(TorchKey key)
        where T : TorchValue
        => this[key] as T ?? throw new InvalidDataException($"its {FormatGuard.Quote(key.ToString())} "
            + (this[key] is TorchOpaque other
                ? $"is {other.Instead(Kind(typeof(T)))}"
                : $"has the type {Kind(this[key].GetType())}, not {Kind(typeof(T))}"));

    private static string Kind(Type type) => type.Name["Torch".Length..].ToLowerInvariant();
}
