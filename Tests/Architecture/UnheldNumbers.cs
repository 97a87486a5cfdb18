namespace Imta.MetaWeight.Tests.Architecture;

/// <summary>
/// Numbers given to TorchSharp such that nothing keeps them alive while libtorch reads them, also by TorchSharp itself: <c>x + y</c> passes
/// the factor 1 for y.
/// </summary>
internal static class UnheldNumbers
{
    private static readonly Lazy<IReadOnlySet<string>> OfTorchSharp = new(Find);

    /// <summary>The methods of TorchSharp that convert a number, or call one that does; constructors if a later step does.</summary>
    public static IReadOnlySet<string> Converting => OfTorchSharp.Value;

    /// <summary>The calls of such methods in an assembly, one per line.</summary>
    public static string In(string assembly) => string.Join('\n', CompiledMethod.Of(assembly)
        .Where(method => !Is(method.Name, "HeldScalars."))
        .SelectMany(method => method.Calls.Where(Converting.Contains).Select(call => $"{method.Name} calls {call}")));

    private static HashSet<string> Find()
    {
        CompiledMethod[] methods = [.. CompiledMethod.Of(typeof(torch).Assembly.Location)];
        string[] names = [.. methods.Select(method => method.Name)];
        string[] conversions = ["ScalarExtensionMethods.", "Scalar.op_Implicit(", "Tensor.ToScalar("];
        HashSet<string> found = [.. names.Where(name => conversions.Any(start => Is(name, start)))];
        for (int before = 0; before < found.Count;)
        {
            before = found.Count;
            found.UnionWith(methods.Where(method => method.Calls.Overlaps(found)).Select(method => method.Name));
            HashSet<string> types = [.. found.Select(name => TypeBefore(name, ".forward(") ?? TypeBefore(name, ".step(")).OfType<string>()];
            found.UnionWith(names.Where(name => TypeBefore(name, "..ctor(") is { } type && types.Contains(type)));
        }

        return found;
    }

    private static bool Is(string name, string start) => name.StartsWith(start, StringComparison.Ordinal);

    private static string? TypeBefore(string name, string member)
        => name.IndexOf(member, StringComparison.Ordinal) is > 0 and var end ? name[..end] : null;
}
