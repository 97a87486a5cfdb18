namespace Imta.MetaWeight.Tests;

/// <summary>
/// Tests that count live tensors or look at the process's memory: no other test runs beside them.
/// </summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class NativeMemoryCollection
{
    /// <summary>The collection's name.</summary>
    public const string Name = "native memory";

    /// <summary>
    /// Waits until what nothing refers to any more is finalised, so that a count holds what lives and no garbage of earlier tests.
    /// </summary>
    public static void Settle()
    {
        for (int round = 0; round < 3; round++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
    }
}
