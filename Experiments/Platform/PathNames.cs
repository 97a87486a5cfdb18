namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>Paths of all systems: what is written into files, and what is compared.</summary>
internal static class PathNames
{
    /// <summary>A relative path as files have it on every system: with slashes.</summary>
    /// <param name="path">The path.</param>
    /// <param name="separator">The system's separator.</param>
    public static string Portable(string path, char separator) => separator == '/' ? path : path.Replace(separator, '/');

    /// <summary>Whether a path is a folder or lies in it.</summary>
    /// <param name="folder">The folder's full path.</param>
    /// <param name="path">The full path.</param>
    /// <param name="separator">The system's separator.</param>
    /// <param name="comparison">How the system compares names.</param>
    public static bool IsWithin(string folder, string path, char separator, StringComparison comparison)
        => $"{path.TrimEnd(separator)}{separator}".StartsWith($"{folder.TrimEnd(separator)}{separator}", comparison);
}
