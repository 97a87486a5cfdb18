namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>A file of <c>torch.save</c>, of either format: a pickle, and the elements of the storages that it names.</summary>
internal interface ITorchFile
{
    /// <summary>The pickled object.</summary>
    TorchValue Root { get; }

    /// <summary>The pickle's length in bytes.</summary>
    long PickleLength { get; }

    /// <summary>Has a storage's elements read; the stream is at the first of them.</summary>
    /// <exception cref="InvalidDataException">They are not there, or not as many as the pickle says.</exception>
    void Read(PickledStorage storage, Action<Stream> read);
}
