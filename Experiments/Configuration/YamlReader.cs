using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using Scalar = YamlDotNet.Core.Events.Scalar;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>The value of a key in a YAML file.</summary>
internal abstract record YamlValue
{
    /// <summary>Whether it is YAML's null: nothing, <c>~</c> or <c>null</c>, without quotes.</summary>
    public bool IsNull => this is YamlScalar { Quoted: false, Text: "" or "~" or "null" or "Null" or "NULL" };
}

/// <summary>A single value.</summary>
internal sealed record YamlScalar(string Text, bool Quoted) : YamlValue
{
    public override string ToString() => Quoted ? $"\"{Terminal.Sanitize(Text)}\"" : Terminal.Sanitize(Text);
}

/// <summary>A list of single values.</summary>
internal sealed record YamlList(IReadOnlyList<YamlScalar> Items) : YamlValue
{
    public override string ToString() => Terminal.Sanitize($"[{string.Join(", ", Items.Take(20))}{(Items.Count > 20 ? ", …" : "")}]");
}

/// <summary>A nested group of keys; they follow as separate entries.</summary>
internal sealed record YamlGroup : YamlValue
{
    public override string ToString() => "a group of keys";
}

/// <summary>A key of a YAML file.</summary>
/// <param name="Path">The keys of the groups that it is in, and its own.</param>
/// <param name="Where">Its location, <c>FILE:LINE</c>.</param>
/// <param name="Value">Its value.</param>
internal sealed record YamlEntry(IReadOnlyList<string> Path, string Where, YamlValue Value)
{
    /// <summary>The dotted name.</summary>
    public string Key => string.Join('.', Path);
}

/// <summary>
/// Reads the subset of YAML that configurations need: nested keys, single values, lists of these. Anchors, tags and multiple
/// documents are rejected, and so is deep nesting, which could overflow the stack of a tree-building reader.
/// </summary>
internal sealed class YamlReader
{
    private const int MaxDepth = 8;
    private readonly Parser _parser;
    private readonly Func<long, string> _where;
    private readonly string? _named;
    private readonly Dictionary<string, string> _seen = [];

    private YamlReader(string text, Func<long, string> where, string? named = null)
    {
        _parser = new Parser(new StringReader(text));
        (_where, _named) = (where, named);
        RejectControlCharacters(text);
        Next<StreamStart>();
    }

    /// <summary>The keys of a file's text in their order, each group before its members.</summary>
    /// <param name="text">The text.</param>
    /// <param name="file">The file, for messages.</param>
    /// <param name="named">A group whose keys are names that may have dots; null: there is none.</param>
    /// <exception cref="UsageException">The text is not such YAML; the message names file and line.</exception>
    public static IReadOnlyList<YamlEntry> ReadKeys(string text, string file, string? named = null)
    {
        var reader = new YamlReader(text, line => $"{file}:{line}", named);
        var entries = new List<YamlEntry>();
        if (reader.StartDocument() is { } root)
        {
            if (root is MappingStart)
            {
                reader.ReadGroup([], entries);
            }
            else if (root is not Scalar scalar || !ReadScalar(scalar).IsNull)
            {
                throw reader.ErrorAt(root, "a configuration consists of 'key: value' lines");
            }

            reader.EndDocument();
        }

        return entries;
    }

    /// <summary>A value given on the command line: a single value or a list in brackets.</summary>
    /// <exception cref="UsageException">It is not such a value; the message starts with <paramref name="where"/>.</exception>
    public static YamlValue ReadValue(string text, string where)
    {
        var reader = new YamlReader(text, _ => where);
        if (reader.StartDocument() is not { } root)
        {
            return text.Trim().Length == 0
                ? new YamlScalar("", false)
                : throw new UsageException($"{where}: no value; a value that starts with # needs quotes");
        }

        var value = root is MappingStart
            ? throw reader.ErrorAt(root, "expected a single value; text containing ': ' needs quotes")
            : reader.ReadValue(root, "the value");
        reader.EndDocument();
        return value;
    }

    // YamlDotNet ignores most control characters, and reports the line before a tab-indented one.
    private void RejectControlCharacters(string text)
    {
        var (line, indentation) = (1, true);
        foreach (var character in text)
        {
            if (character == '\t' && indentation)
            {
                throw new UsageException($"{_where(line)}: this line is indented with a tab; YAML requires spaces");
            }

            if (char.IsControl(character) && character is not ('\n' or '\r' or '\t' or '\u0085'))
            {
                throw new UsageException($"{_where(line)}: the control character U+{(int)character:X4} is not allowed in a configuration");
            }

            line += character == '\n' ? 1 : 0;
            indentation = character == '\n' || (indentation && character == ' ');
        }
    }

    private ParsingEvent? StartDocument()
    {
        if (Next<ParsingEvent>() is StreamEnd)
        {
            return null;
        }

        return Next<ParsingEvent>();
    }

    private void EndDocument()
    {
        Next<DocumentEnd>();
        var end = Next<ParsingEvent>();
        if (end is not StreamEnd)
        {
            throw ErrorAt(end, "a second document starts here; a configuration is one document");
        }
    }

    private void ReadGroup(string[] group, List<YamlEntry> entries)
    {
        for (var at = Next<ParsingEvent>(); at is not MappingEnd; at = Next<ParsingEvent>())
        {
            if (group.Length >= MaxDepth)
            {
                throw ErrorAt(at, "keys are nested too deeply");
            }

            string[] path = [.. group, ReadKey(at, group)];
            var where = _where(at.Start.Line);
            var (key, unique) = (string.Join('.', path), string.Join('\n', path));
            if (!_seen.TryAdd(unique, where))
            {
                throw new UsageException($"{where}: {Terminal.Sanitize(key)} is defined twice; first at {_seen[unique]}");
            }

            var next = Next<ParsingEvent>();
            if (next is MappingStart)
            {
                entries.Add(new YamlEntry(path, where, new YamlGroup()));
                ReadGroup(path, entries);
            }
            else
            {
                entries.Add(new YamlEntry(path, where, ReadValue(next, Terminal.Sanitize(key))));
            }
        }
    }

    private string ReadKey(ParsingEvent at, string[] group)
    {
        if (at is not Scalar { Value: var name })
        {
            throw ErrorAt(at, "a key must be a single word");
        }

        bool isName = group.Length == 1 && group[0] == _named;
        if (!isName && name.Contains('.', StringComparison.Ordinal))
        {
            throw ErrorAt(at, $"{Terminal.Sanitize(name)}: dotted keys are only for --set; in a file, nest the key under its group");
        }

        return name;
    }

    private YamlValue ReadValue(ParsingEvent at, string key)
    {
        if (at is Scalar scalar)
        {
            return ReadScalar(scalar);
        }

        var items = new List<YamlScalar>();
        for (var item = Next<ParsingEvent>(); item is not SequenceEnd; item = Next<ParsingEvent>())
        {
            items.Add(item is Scalar inner ? ReadScalar(inner) : throw ErrorAt(item, $"the items of {key} must be single values"));
        }

        return new YamlList(items);
    }

    private static YamlScalar ReadScalar(Scalar scalar) => new(scalar.Value, scalar.Style != ScalarStyle.Plain);

    private T Next<T>()
        where T : ParsingEvent
    {
        try
        {
            _parser.MoveNext();
        }
        catch (YamlException exception)
        {
            throw new UsageException(
                $"{_where(exception.Start.Line)}: invalid YAML: {Terminal.Sanitize(exception.Message)}",
                exception);
        }
        catch (Exception exception) when (exception is InvalidOperationException or ArgumentException)
        {
            // YamlDotNet throws these on some malformed text: a misplaced key, an escape beyond Unicode.
            throw new UsageException(
                $"{_where(_parser.Current?.End.Line ?? 1)}: invalid YAML: malformed here or below",
                exception);
        }

        var next = (T)_parser.Current!;
        return next switch
        {
            AnchorAlias => throw ErrorAt(next, "aliases (*name) are not supported; write the value itself"),
            NodeEvent { Anchor.IsEmpty: false } =>
                throw ErrorAt(next, "anchors (&name) are not supported; write the value where it is needed"),
            NodeEvent { Tag.IsEmpty: false } => throw ErrorAt(next, "tags (!name) are not supported; write the plain value"),
            _ => next,
        };
    }

    private UsageException ErrorAt(ParsingEvent at, string problem) => new($"{_where(at.Start.Line)}: {problem}");
}
