namespace Imta.MetaWeight.Experiments.Checkpoints;

/// <summary>The formats in which a trained network is saved.</summary>
internal enum CheckpointFormat
{
    /// <summary>What <c>imta train</c> writes and resumes from.</summary>
    Native,

    /// <summary>The layout of the published code, for <c>torch.load</c>.</summary>
    Published,

    /// <summary>The networks' tensors alone.</summary>
    Safetensors,
}

/// <summary>The file extensions of these formats.</summary>
internal static class CheckpointFileNames
{
    public const string Native = ".pt";
    public const string Safetensors = ".safetensors";

    public static readonly string[] Published = [".pth.tar", ".pth"];

    /// <summary>The format that a file's name asks for; null: none of these.</summary>
    public static CheckpointFormat? FormatOf(string file)
    {
        return Ends(Native) ? CheckpointFormat.Native
            : Ends(Safetensors) ? CheckpointFormat.Safetensors
            : Published.Any(Ends) ? CheckpointFormat.Published
            : null;

        bool Ends(string extension) => file.EndsWith(extension, StringComparison.Ordinal);
    }
}
