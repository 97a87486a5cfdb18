using System.Text.RegularExpressions;
using Imta.MetaWeight.Tests.Docs;

namespace Imta.MetaWeight.Tests.Architecture;

/// <summary>
/// The arrows between the namespaces of the product, read from its files: <c>using</c>s, and types of namespaces that need none.
/// </summary>
public sealed partial class NamespacesTests
{
    private const string Root = "Imta.MetaWeight.";

    /// <summary>From the top down; a namespace may use those after it, and what lies below it.</summary>
    private static readonly string[] Layers =
    [
        "Experiments", "Experiments.Commands", "Experiments.Reports", "Experiments.Sweeps", "Experiments.Benchmarks",
        "Experiments.Verification", "Experiments.Diagnosis",
        "Experiments.Training", "Experiments.Training.Checks", "Experiments.Training.Distributed", "Experiments.Evaluation",
        "Experiments.Checkpoints", "Experiments.Checkpoints.TorchFiles", "Experiments.Runs", "Experiments.Data",
        "Experiments.Data.Pictures",
        "Experiments.Configuration", "Experiments.Platform",
    ];

    private static readonly string[] Projects = ["Experiments", "Meta", "Backbones", "Losses", "Allocation"];

    [Fact]
    public void No_namespace_leads_back_to_itself()
    {
        Dictionary<string, HashSet<string>> arrows = Arrows(Sources());

        Cycle(arrows).Should().BeEmpty();
    }

    [Fact]
    public void No_namespace_of_Experiments_uses_one_above_it()
    {
        IEnumerable<string> upward =
            from arrows in Arrows(Sources())
            from to in arrows.Value
            let above = Array.IndexOf(Layers, to)
            where above >= 0 && above < Array.IndexOf(Layers, arrows.Key)
            select $"{arrows.Key} -> {to}";

        upward.Should().BeEmpty();
    }

    [Fact]
    public void Every_namespace_is_that_of_its_folder_and_those_of_Experiments_have_a_layer()
    {
        foreach ((string file, string text) in Sources())
        {
            string expected = Path.GetDirectoryName(file)!.Replace(Path.DirectorySeparatorChar, '.');
            Namespace(text).Should().BeOneOf([expected, null], $"{file} lies there");
            Layers.Concat(["Meta", "Backbones", "Losses", "Allocation"]).Should().Contain(
                layer => expected == layer
                    || (!layer.StartsWith("Experiments", StringComparison.Ordinal)
                    && expected.StartsWith(layer + ".", StringComparison.Ordinal)),
                $"{expected} needs a place among the layers");
        }
    }

    [Fact]
    public void The_check_finds_a_cycle_and_a_types_namespace_that_no_using_names()
    {
        Dictionary<string, HashSet<string>> arrows = Arrows(new Dictionary<string, string>
        {
            ["A/One.cs"] = $"using {Root}A.B;\n\nnamespace {Root}A;\n\npublic sealed class One;\n",
            ["A/B/Two.cs"] = $"namespace {Root}A.B;\n\npublic sealed class Two\n{{\n    public One? Up {{ get; }}\n}}\n",
        });

        arrows["A.B"].Should().Equal("A");
        Cycle(arrows).Should().BeEquivalentTo("A", "A.B");
    }

    [Theory]
    [InlineData("using Other = Imta.MetaWeight.B.Type;")]
    [InlineData("using static Imta.MetaWeight.B.Type;")]
    [InlineData("using static Imta.MetaWeight.B.Type.Inner;")]
    [InlineData("using Other = Imta.MetaWeight.B;")]
    public void The_check_finds_an_alias_and_the_members_of_a_type(string line)
    {
        Dictionary<string, HashSet<string>> arrows = Arrows(new Dictionary<string, string>
        {
            ["A/One.cs"] = $"{line}\n\nnamespace {Root}A;\n\npublic sealed class One;\n",
            ["B/Type.cs"] = $"namespace {Root}B;\n\npublic sealed class Type;\n",
        });

        arrows["A"].Should().Equal("B");
    }

    [Theory]
    [InlineData("Type")]
    [InlineData("A.B.Type")]
    [InlineData("B.Type")]
    [InlineData("Imta.MetaWeight.A.B.Type")]
    public void The_check_finds_a_qualified_type(string name)
    {
        string[] imports = name == "Type" ? [$"using {Root}A.B;"] : [];
        Dictionary<string, HashSet<string>> arrows = Arrows(new Dictionary<string, string>
        {
            ["A/One.cs"] = $"{string.Concat(imports)}\n\nnamespace {Root}A;\n\npublic sealed class One\n{{\n    {name}? Down;\n}}\n",
            ["A/B/Type.cs"] = $"namespace {Root}A.B;\n\npublic delegate void Type();\n",
        });

        arrows["A"].Should().Equal("A.B");
    }

    /// <summary>The namespaces of one cycle; none: there is none.</summary>
    private static List<string> Cycle(Dictionary<string, HashSet<string>> arrows)
    {
        var left = arrows.ToDictionary(entry => entry.Key, entry => entry.Value.Where(arrows.ContainsKey).ToHashSet());
        while (left.Where(entry => entry.Value.Count == 0).Select(entry => entry.Key).ToArray() is { Length: > 0 } leaves)
        {
            Array.ForEach(leaves, leaf => left.Remove(leaf));
            foreach (HashSet<string> to in left.Values)
            {
                to.ExceptWith(leaves);
            }
        }

        return [.. left.Keys];
    }

    private static Dictionary<string, HashSet<string>> Arrows(IReadOnlyDictionary<string, string> sources)
    {
        (string Namespace, string Text)[] files =
        [
            .. sources.Values.Where(text => Namespace(text) is not null).Select(text => (Namespace(text)!, text)),
        ];
        ILookup<string, string> declared = files.SelectMany(
            file => Declaration().Matches(file.Text).Select(type => (file.Namespace, type.Groups["name"].Value)))
            .ToLookup(type => type.Namespace, type => type.Value);
        var arrows = files.Select(file => file.Namespace).Distinct().ToDictionary(name => name, _ => new HashSet<string>());
        foreach ((string from, string text) in files)
        {
            string code = Comment().Replace(text, "");
            HashSet<string> words = [.. Word().Matches(code).Select(word => word.Value)];
            arrows[from].UnionWith(Using().Matches(text).Select(match => Declared(match.Groups["name"].Value)).OfType<string>());
            arrows[from]
                .UnionWith(
                    declared.Where(types => IsSeenWithoutUsing(from, types.Key) && types.Any(words.Contains)).Select(types => types.Key));
            arrows[from].UnionWith(
                declared.Where(types => Qualifiers(from, types.Key).Any(prefix => Names(code, prefix).Any(types.Contains)))
                    .Select(types => types.Key));
            arrows[from].Remove(from);
        }

        return arrows;

        // The namespace of a using, which may name a type of it.
        string? Declared(string name) => arrows.ContainsKey(name) ? name
            : name.LastIndexOf('.') is var dot and > 0 ? Declared(name[..dot])
            : null;
    }

    /// <summary>What may stand before a type's name: its namespace, or what of that lies below one that both share.</summary>
    private static IEnumerable<string> Qualifiers(string from, string to)
    {
        yield return Root + to + ".";
        for (string around = from; ; around = around.LastIndexOf('.') is var dot and >= 0 ? around[..dot] : "")
        {
            if (around.Length == 0 || to.StartsWith(around + ".", StringComparison.Ordinal))
            {
                yield return (around.Length == 0 ? to : to[(around.Length + 1)..]) + ".";
            }

            if (around.Length == 0)
            {
                yield break;
            }
        }
    }

    /// <summary>The names that follow a prefix in a text.</summary>
    private static IEnumerable<string> Names(string text, string prefix)
    {
        for (int at = text.IndexOf(prefix, StringComparison.Ordinal); at >= 0; at = text.IndexOf(prefix, at + 1, StringComparison.Ordinal))
        {
            bool isWhole = at == 0 || !(char.IsLetterOrDigit(text[at - 1]) || text[at - 1] is '_' or '.');
            if (isWhole && Word().Match(text, at + prefix.Length) is { Success: true } word && word.Index == at + prefix.Length)
            {
                yield return word.Value;
            }
        }
    }

    /// <summary>A namespace sees those around it, and every file of Experiments sees Platform by a global using.</summary>
    private static bool IsSeenWithoutUsing(string from, string to)
        => from.StartsWith(to + ".", StringComparison.Ordinal)
            || (to == "Experiments.Platform" && from.StartsWith("Experiments", StringComparison.Ordinal));

    /// <summary>The product's files: what is in them, by path in the repository.</summary>
    internal static Dictionary<string, string> Sources()
    {
        string repository = MarkdownPage.Repository();
        return Projects.SelectMany(
            project => Directory.EnumerateFiles(Path.Combine(repository, project), "*.cs", SearchOption.AllDirectories))
            .Select(file => Path.GetRelativePath(repository, file))
            .Where(file => !file.Split(Path.DirectorySeparatorChar).Any(part => part is "bin" or "obj" or "buildTransitive"))
            .ToDictionary(file => file, file => File.ReadAllText(Path.Combine(repository, file)).ReplaceLineEndings("\n"));
    }

    private static string? Namespace(string text)
        => NamespaceLine().Match(text) is { Success: true } match ? match.Groups["name"].Value : null;

    [GeneratedRegex(@"^namespace Imta\.MetaWeight\.(?<name>[\w.]+);", RegexOptions.Multiline)]
    private static partial Regex NamespaceLine();

    [GeneratedRegex(@"^using (static )?(\w+ = )?Imta\.MetaWeight\.(?<name>[\w.]+);", RegexOptions.Multiline)]
    private static partial Regex Using();

    [GeneratedRegex(
        @"^(public |internal )?((static|sealed|abstract|partial|readonly|unsafe|ref) )*"
        + @"(class|struct|interface|enum|record struct|record|delegate [\w.<>?\[\]]+) (?<name>\w+)",
        RegexOptions.Multiline)]
    private static partial Regex Declaration();

    [GeneratedRegex(@"\b[A-Za-z_]\w*\b")]
    private static partial Regex Word();

    [GeneratedRegex("^ *//.*$", RegexOptions.Multiline)]
    private static partial Regex Comment();
}
