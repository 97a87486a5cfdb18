namespace Imta.MetaWeight.Experiments.Processes;

/// <summary>Another process of the run is gone, or does not answer: its message says which this one is, and what to do.</summary>
internal sealed class LostProcessException(string message, Exception? innerException = null) : IOException(message, innerException);
