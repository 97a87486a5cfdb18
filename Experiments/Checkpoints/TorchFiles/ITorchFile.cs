namespace Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

/// <summary>A file written by <c>torch.save</c> in either format: a pickle, and the elements of the storages it refers to.</summary>
internal interface ITorchFile
{
    /// <summary>The pickled object.</summary>
    TorchValue Root { get; }

    /// <summary>The pickle's length in bytes.</summary>
    long PickleLength { get; }

    /// <summary>Reads a storage's elements through a callback; the stream is positioned at the first.</summary>
    /// <exception cref="InvalidDataException">They are missing, or their number differs from the pickle.</exception>
    void Read(PickledStorage storage, Action<Stream> read);
}
