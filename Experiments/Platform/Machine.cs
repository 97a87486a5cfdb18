namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>The machine, as described by its operating system.</summary>
internal static class Machine
{
    /// <summary>The processor's model, if the system reports it.</summary>
    public static string? ProcessorName()
        => Lines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim();

    public static string[] Lines(string path)
    {
        try
        {
            return File.Exists(path) ? File.ReadAllLines(path) : [];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
