using System.Text;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>
/// Builds <see cref="Settings"/> from a YAML file and command-line overrides; rejects everything that is not exactly right.
/// </summary>
internal static class SettingsLoader
{
    private const int MaxBytes = 1_000_000;

    /// <summary>The settings of a file, with overrides; keys set by neither have their defaults.</summary>
    /// <exception cref="UsageException">One line: what is wrong, where, and what is expected.</exception>
    public static Settings Load(string path, IEnumerable<SettingsOverride>? overrides = null) => Parse(ReadText(path), path, overrides);

    /// <summary>Like <see cref="Load"/>, for YAML text; <paramref name="file"/> names it in messages.</summary>
    /// <exception cref="UsageException">One line: what is wrong, where, and what is expected.</exception>
    public static Settings Parse(string yaml, string file, IEnumerable<SettingsOverride>? overrides = null)
    {
        ArgumentNullException.ThrowIfNull(yaml);
        var entries = YamlReader.ReadKeys(yaml, file)
            .Concat((overrides ?? []).Select(ToEntry));
        var settings = new Settings();
        var origins = new Dictionary<string, string>();
        foreach (var entry in entries)
        {
            Set(settings, entry);
            origins[entry.Key] = entry.Where;
        }

        DerivedDefaults.Fill(settings, origins.Keys);
        foreach (var (keys, problem) in SettingsRules.Violations(settings))
        {
            var where = keys.Select(key => origins.GetValueOrDefault(key)).FirstOrDefault(origin => origin is not null) ?? file;
            throw new UsageException($"{where}: {problem}");
        }

        return settings;
    }

    private static YamlEntry ToEntry(SettingsOverride given) => new(
        given.Key.Split('.'),
        given.Source,
        given.IsText ? new YamlScalar(given.Value, Quoted: true) : YamlReader.ReadValue(given.Value, given.Source));

    private static void Set(Settings settings, YamlEntry entry)
    {
        if (SettingsSchema.Find(entry.Key) is { } key)
        {
            if (!key.TrySet(settings, entry.Value))
            {
                var problem = entry.Value.IsNull ? "has no value" : $"is {entry.Value}";
                bool isUnlimited = key.Type == SettingsValue.TypeName(typeof(int)) && key.Range.StartsWith('>');
                throw new UsageException($"{entry.Where}: {key.Key} {problem}; it must be {key.Expected}"
                    + (isUnlimited ? SettingsValue.LimitNote($"{entry.Value}") : ""));
            }
        }
        else if (!SettingsSchema.Groups.Contains(entry.Key))
        {
            throw new UsageException($"{entry.Where}: unknown key {Terminal.Sanitize(entry.Key)}; {NearestKey.Hint(entry.Key)}");
        }
        else if (entry.Value is not YamlGroup && !entry.Value.IsNull)
        {
            var members = string.Join(", ", SettingsSchema.Members(entry.Key));
            throw new UsageException($"{entry.Where}: {entry.Key} is {entry.Value}; it is a group with the keys {members}");
        }
    }

    /// <summary>The path of a configuration that ships with the program.</summary>
    internal static string BundledPath(string name) => Path.Combine(AppContext.BaseDirectory, "configs", name);

    /// <summary>The text of a configuration's file.</summary>
    /// <exception cref="UsageException">It cannot be read, or is not text.</exception>
    internal static string ReadText(string path)
    {
        try
        {
            if (Directory.Exists(path))
            {
                throw new UsageException($"{path} is a folder; expected a configuration file");
            }

            using var stream = File.OpenRead(path);
            var bytes = new byte[MaxBytes + 1];
            var length = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            if (length > MaxBytes)
            {
                throw new UsageException($"{path} is larger than 1 MB; expected a configuration file");
            }

            var text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes, 0, length);
            return text.TrimStart('\uFEFF');
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new UsageException($"{path}: configuration file not found", exception);
        }
        catch (DecoderFallbackException exception)
        {
            throw new UsageException($"{path} is not UTF-8 text; expected a configuration file", exception);
        }
        catch (Exception exception)
            when (exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new UsageException($"{Terminal.Sanitize(path)} cannot be read: {exception.Message}", exception);
        }
    }
}
