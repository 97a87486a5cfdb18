namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>A file that a run starts from, in <c>environment.json</c>.</summary>
/// <param name="Path">Its full path.</param>
/// <param name="Sha256">The hash of its content, in hexadecimal.</param>
internal sealed record SourceFile(string Path, string Sha256);

/// <summary>The run that another one extends, in <c>environment.json</c>.</summary>
/// <param name="Path">Its folder's full path.</param>
/// <param name="Epoch">Its epochs, with which the longer run begins.</param>
internal sealed record ExtendedFrom(string Path, int Epoch);
