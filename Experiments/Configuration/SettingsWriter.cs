using System.Text;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>Writes settings as YAML with every key in its fixed order; <see cref="SettingsLoader"/> reads them back unchanged.</summary>
internal static class SettingsWriter
{
    /// <summary>The whole configuration as text with <c>\n</c> line endings. Equal settings give equal text.</summary>
    public static string Write(Settings settings)
    {
        var text = new StringBuilder();
        string[] open = [];
        foreach (var key in SettingsSchema.Keys)
        {
            var segments = key.Key.Split('.');
            var shared = open.Zip(segments[..^1]).TakeWhile(pair => pair.First == pair.Second).Count();
            for (var depth = shared; depth < segments.Length - 1; depth++)
            {
                Indent(depth).Append(segments[depth]).Append(":\n");
            }

            open = segments[..^1];
            Indent(open.Length).Append(segments[^1]).Append(": ").Append(key.Format(settings)).Append('\n');
        }

        return text.ToString();

        StringBuilder Indent(int depth) => text.Append(' ', 2 * depth);
    }
}
