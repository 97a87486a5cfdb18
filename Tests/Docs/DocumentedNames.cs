using System.Reflection;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Tests.Docs;

/// <summary>What names in the documentation stand for: members, tests, settings.</summary>
internal static partial class DocumentedNames
{
    private const BindingFlags Any = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static;

    private static readonly Assembly[] Product =
    [
        typeof(BilevelLoop).Assembly, typeof(MultiExitNetwork).Assembly, typeof(TrainingLoss).Assembly, typeof(Confidence).Assembly,
        typeof(Settings).Assembly, typeof(Tensor).Assembly,
    ];

    private static readonly ILookup<string, Type> Types = Product.SelectMany(assembly => assembly.GetTypes()).ToLookup(type => type.Name);

    private static readonly ILookup<string, Type> TestClasses = typeof(DocumentedNames).Assembly.GetTypes().ToLookup(type => type.Name);

    /// <summary>Whether a word is written as a member or a test is: <c>Type.Member</c>.</summary>
    public static bool IsMember(string word) => Member().IsMatch(word);

    /// <summary>Whether a word is written as a setting is, <c>meta.q</c> or <c>meta.q=1</c>.</summary>
    public static bool IsSetting(string word) => Setting().IsMatch(word);

    /// <summary>Whether the product has this member.</summary>
    public static bool InProduct(string word)
        => word.Split('.') is [var type, var member] && Types[type].Any(known => known.GetMember(member, Any).Length > 0);

    /// <summary>Whether the product has this type.</summary>
    public static bool IsType(string word) => Types[word].Any();

    /// <summary>Whether there is such a test.</summary>
    public static bool InTests(string word)
        => word.Split('.') is [var type, var test]
            && TestClasses[type].Any(known => known.GetMethod(test)?.GetCustomAttribute<Xunit.FactAttribute>() is not null);

    /// <summary>Whether the configuration has this key or group, and takes the value where there is one.</summary>
    public static bool InConfiguration(string word)
    {
        if (!word.Contains('='))
        {
            return SettingsSchema.Find(word) is not null || SettingsSchema.Groups.Contains(word);
        }

        try
        {
            SettingsLoader.Parse("", "the page", [SettingsOverride.Parse(word)]);
            return true;
        }
        catch (UsageException)
        {
            return false;
        }
    }

    /// <summary>Members, tests and settings among the words that do not exist.</summary>
    public static IEnumerable<string> Missing(IEnumerable<string> words) => words.Where(word =>
        (IsMember(word) && !InProduct(word) && !InTests(word)) || (IsSetting(word) && !InConfiguration(word)));

    [GeneratedRegex(@"^(?!Imta\.MetaWeight$)[A-Z]\w*\.\w+$")] // the package's name has the same form
    private static partial Regex Member();

    [GeneratedRegex(@"^(data|model|modifiers|loss|meta|train|phase2|export)\.[A-Za-z.]+(=.+)?$")]
    private static partial Regex Setting();
}
