using System.Globalization;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>Human-readable byte counts.</summary>
internal static class ByteSize
{
    public const long Kib = 1024;
    public const long Mib = 1024 * Kib;
    public const long Gib = 1024 * Mib;
    public const long Tib = 1024 * Gib;

    /// <summary>For example <c>1.2 GiB</c>, <c>40 MiB</c>, <c>700 KiB</c>.</summary>
    public static string Text(long bytes)
    {
        (long unit, string name) = bytes switch
        {
            >= Tib => (Tib, "TiB"),
            >= Gib => (Gib, "GiB"),
            >= Mib => (Mib, "MiB"),
            _ => (Kib, "KiB"),
        };
        double value = (double)bytes / unit;
        return value.ToString(value < 9.95 ? "0.0" : "0", CultureInfo.InvariantCulture) + " " + name;
    }
}
