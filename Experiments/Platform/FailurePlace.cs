using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Text.RegularExpressions;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>
/// The method in which an exception arose, apart from libraries: that of an extension, if one took part, else one of imta's.
/// </summary>
/// <param name="Method">Such as <c>ToyNet.Block (ToyNet.cs, line 43)</c>; without a file if the assembly has no symbols.</param>
/// <param name="IsExtension">Whether it belongs to a program that wraps imta.</param>
internal sealed partial record FailurePlace(string Method, bool IsExtension)
{
    private static readonly HashSet<Assembly> Own =
    [
        typeof(FailurePlace).Assembly, typeof(BilevelLoop).Assembly, typeof(MultiExitNetwork).Assembly, typeof(MetaAllocation).Assembly,
        typeof(TrainingLoss).Assembly,
    ];

    /// <summary>The place; null if no frame is in an extension or in imta.</summary>
    public static FailurePlace? Of(Exception failure)
    {
        StackFrame[] frames = new StackTrace(failure, fNeedFileInfo: true).GetFrames();
        StackFrame? extension = frames.FirstOrDefault(frame => AssemblyOf(frame) is { } assembly && UsesOwn(assembly));
        StackFrame? place = extension ?? frames.FirstOrDefault(frame => AssemblyOf(frame) is { } assembly && Own.Contains(assembly));
        return place?.GetMethod() is { } method ? new FailurePlace(Name(method) + File(place), extension is not null) : null;
    }

    private static Assembly? AssemblyOf(StackFrame frame) => frame.GetMethod()?.DeclaringType?.Assembly;

    private static bool UsesOwn(Assembly assembly)
        => !Own.Contains(assembly) && assembly.GetReferencedAssemblies().Any(name => Own.Any(own => own.GetName().Name == name.Name));

    private static string File(StackFrame frame) => frame.GetFileName() is { } file
        ? string.Create(CultureInfo.InvariantCulture, $" ({Path.GetFileName(file)}, line {frame.GetFileLineNumber()})")
        : "";

    /// <summary>The type and the method as written, which for a lambda, a local function or an iterator the compiler has renamed.</summary>
    private static string Name(MethodBase method)
    {
        string name = method.Name;
        Type? type = method.DeclaringType;
        while (type is { DeclaringType: { } outer } && type.Name.StartsWith('<'))
        {
            name = WrittenName().IsMatch(type.Name) ? type.Name : name;
            type = outer;
        }

        string written = WrittenName().Match(name) is { Success: true } match ? match.Groups[1].Value : name;
        string? plain = type?.Name.Split('`')[0];
        return written.Split('.', '-')[^1] switch // explicit implementations have the interface's name before their own
        {
            "ctor" => $"{plain}'s constructor",
            "cctor" => $"{plain}'s static initialiser",
            var last => $"{plain}.{last}",
        };
    }

    [GeneratedRegex(@"^<+([\w.-]+)\$?>")]
    private static partial Regex WrittenName();
}
