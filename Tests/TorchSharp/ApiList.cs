using System.IO.Compression;

namespace Imta.MetaWeight.Tests.TorchSharp;

/// <summary>A list of an API's types and members, one line each, that types can be held against.</summary>
internal sealed class ApiList
{
    private static readonly string[] TypeKinds = ["enum ", "interface ", "struct ", "class ", "static class ", "abstract class ", "sealed class "];

    private readonly HashSet<string> _members = [];
    private readonly Dictionary<string, string[]> _bases = [];

    /// <param name="lines">The list's lines: <see cref="ApiSignature"/>'s form, with base types behind a type's name.</param>
    public ApiList(IEnumerable<string> lines)
    {
        foreach (string line in lines)
        {
            string declaration = line[(line.IndexOf(' ', StringComparison.Ordinal) + 1)..];
            if (TypeKinds.Any(kind => declaration.StartsWith(kind, StringComparison.Ordinal)))
            {
                (string header, string[] bases) = Split(line);
                _bases.Add(header, bases);
            }
            else
            {
                _members.Add(line);
            }
        }
    }

    /// <summary>The number of types and members.</summary>
    public int Count => _members.Count + _bases.Count;

    /// <summary>Reads lists that lie beside the tests; a name that ends in <c>.gz</c> is compressed.</summary>
    public static ApiList Read(params string[] names) => new(names.SelectMany(name =>
    {
        using Stream file = File.OpenRead(Path.Combine(AppContext.BaseDirectory, "TorchSharp", name));
        using Stream content = name.EndsWith(".gz", StringComparison.Ordinal) ? new GZipStream(file, CompressionMode.Decompress) : file;
        using var reader = new StreamReader(content);
        return reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
    }));

    /// <summary>What of a type, itself included, is not in the list: a text for each, with the nearest line.</summary>
    public IEnumerable<string> Deviations(Type type)
    {
        string header = ApiSignature.Header(type);
        if (!_bases.ContainsKey(header))
        {
            yield return Message(header, _bases.Keys);
            yield break;
        }

        foreach (string strange in OwnBases(type).Except(ListedBases(header)))
        {
            yield return $"{header}: derives from {strange}, which the list's type does not";
        }

        foreach (string member in ApiSignature.Members(type).Where(member => !_members.Contains(member)))
        {
            yield return Message(member, _members);
        }
    }

    private static string Message(string line, IEnumerable<string> list)
    {
        string place = Place(line);
        string? nearest = list.Where(other => Place(other) == place).MinBy(other => Distance(line, other));
        return $"{line}\n  the list: {nearest ?? $"has no {place}"}";
    }

    // The qualified name in a line, without parameters and type arguments.
    private static string Place(string line)
    {
        string[] words = [.. Parts(line, ' ').TakeWhile(word => word is not ("{" or "=" or "where"))];
        string name = words[^1];
        int depth = 0;
        return (words[^2].EndsWith(".operator", StringComparison.Ordinal) ? words[^2] + " " : "")
            + string.Concat(name.Where(letter => (depth += Depth(letter)) == 0 && Depth(letter) == 0));
    }

    private static int Depth(char letter) => letter switch { '(' or '<' or '[' => 1, ')' or '>' or ']' => -1, _ => 0 };

    // The parts of a text between separators that stand in no brackets.
    private static IEnumerable<string> Parts(string text, char separator)
    {
        int depth = 0;
        int start = 0;
        for (int k = 0; k < text.Length; k++)
        {
            depth += Depth(text[k]);
            if (text[k] == separator && depth == 0)
            {
                yield return text[start..k].Trim();
                start = k + 1;
            }
        }

        yield return text[start..].Trim();
    }

    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replaced, 1 + Math.Min(row[j], row[j - 1]));
            }
        }

        return row[^1];
    }

    // A type's line without its bases; and their names.
    private static (string Header, string[] Bases) Split(string line)
    {
        string[] words = [.. Parts(line, ' ')];
        int constraints = Array.IndexOf(words, "where") is var where and >= 0 ? where : words.Length;
        int bases = Array.IndexOf(words, ":", 0, constraints) is var colon and >= 0 ? colon : constraints;
        return (string.Join(' ', [.. words[..bases], .. words[constraints..]]),
            bases == constraints ? [] : [.. Parts(string.Join(' ', words[(bases + 1)..constraints]), ',').Select(Generic)]);
    }

    // A generic type's name with the number of its arguments: which ones they are is not compared.
    private static string Generic(string name)
    {
        int open = name.IndexOf('<', StringComparison.Ordinal);
        return open < 0 ? name : $"{name[..open]}`{Parts(name[(open + 1)..^1], ',').Count()}";
    }

    private static IEnumerable<string> OwnBases(Type type)
    {
        if (type.IsEnum)
        {
            return [ApiSignature.Name(Enum.GetUnderlyingType(type))];
        }

        IEnumerable<Type> bases = type.GetInterfaces().Where(ApiSignature.IsVisible);
        return (type.BaseType is { } own && own != typeof(object) && own != typeof(ValueType) ? bases.Append(own) : bases).Select(ApiSignature.Name).Select(Generic);
    }

    /// <summary>The bases of a listed type, with those of its listed bases.</summary>
    private HashSet<string> ListedBases(string header)
    {
        var all = new HashSet<string>();
        var open = new Queue<string>(_bases.GetValueOrDefault(header) ?? []);
        while (open.TryDequeue(out string? name))
        {
            if (all.Add(name))
            {
                foreach (string next in _bases.Where(entry => Generic(NameOf(entry.Key)) == name).SelectMany(entry => entry.Value))
                {
                    open.Enqueue(next);
                }
            }
        }

        return all;
    }

    private static string NameOf(string header) => Parts(header, ' ').TakeWhile(word => word != "where").Last();
}
