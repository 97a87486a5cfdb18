namespace Imta.MetaWeight.Tests.TorchSharp;

/// <summary>Which of the two places the assembly TorchSharp came from.</summary>
internal static class TorchSource
{
    /// <summary>Whether it is the project TorchSharp (and not the package).</summary>
    public static bool IsSystem { get; } = typeof(torch).Assembly.GetReferencedAssemblies().Any(name => name.Name == "Imta.MetaWeight.Native");
}
