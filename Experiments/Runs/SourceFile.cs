namespace Imta.MetaWeight.Experiments.Runs;

/// <summary>A file that a run starts from, in <c>environment.json</c>.</summary>
/// <param name="Path">Its full path.</param>
/// <param name="Sha256">The hash of its content, in hexadecimal.</param>
internal sealed record SourceFile(string Path, string Sha256);
