using System.Reflection;

namespace Imta.MetaWeight.Tests.TorchSharp;

/// <summary>
/// Holds the project TorchSharp against the lists of what TorchSharp 0.107 and TorchSharp.PyBridge have, so that the same sources
/// compile with the packages. Compared is every type and member that code outside the assembly sees: access, static, virtual,
/// abstract and override, kind, names, types (with the names in tuples), parameters (names, default values, params, this, ref), type
/// parameters and their constraints, accessors, values of enumerations and constants. Not compared: nullability of references,
/// attributes, and order; of a type's bases and interfaces that each is one of the listed type's, direct or not, whatever its
/// type arguments are (the list's <c>Module&lt;T, TResult&gt;</c> has <c>HookableModule</c> between itself and <c>Module</c>, ours need not).
/// </summary>
public sealed class ApiSurfaceTests
{
    [SkippableFact]
    public void Every_visible_member_is_in_the_list_of_TorchSharp_or_PyBridge()
    {
        Skip.IfNot(TorchSource.IsSystem, "TorchSource=package: the assembly TorchSharp is the package's own, there is nothing to compare");
        ApiList list = ApiList.Read("torchsharp-api-0.107.txt.gz", "pybridge-api.txt");
        list.Count.Should().BeGreaterThan(5000);

        string[] deviations = [.. typeof(torch).Assembly.GetTypes().Where(ApiSignature.IsVisible).SelectMany(list.Deviations)];

        deviations.Length.Should().Be(0, "each of these has to be as the list has it, or internal:\n\n{0}\n\n", string.Join('\n', deviations));
    }

    [Fact]
    public void The_lines_of_the_samples_are_those_that_the_list_would_have()
        => Lines(typeof(ApiSamples)).Should().BeEquivalentTo(ApiSamples.Expected);

    [Fact]
    public void The_samples_deviate_nowhere_from_their_own_list()
        => Types(typeof(ApiSamples)).SelectMany(new ApiList(ApiSamples.Expected).Deviations).Should().BeEmpty();

    [Theory]
    [InlineData("long[] shape", "long[] newShape")]
    [InlineData("double real = 1E-05", "double real = 0.0001")]
    [InlineData("(Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base values", "(Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base Values")]
    [InlineData("Kind.Two = 2", "Kind.Two = 3")]
    [InlineData("{ get; protected set; }", "{ get; set; }")]
    [InlineData("public virtual void", "public void")]
    [InlineData("static readonly long", "static long")]
    [InlineData("where T : unmanaged", "where T : struct")]
    [InlineData("params object[] rest", "object[] rest")]
    [InlineData("extension int", "int")]
    [InlineData("operator op_Addition", "operator op_Subtraction")]
    [InlineData("enum Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Kind : sbyte", "enum Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Kind : int")]
    [InlineData(": Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base, System.IDisposable", ": System.IDisposable")]
    public void A_difference_is_found(string own, string listed)
    {
        string[] list = [.. ApiSamples.Expected.Select(line => line.Replace(own, listed, StringComparison.Ordinal))];
        list.Except(ApiSamples.Expected).Should().ContainSingle("the sample has the text once");

        Types(typeof(ApiSamples)).SelectMany(new ApiList(list).Deviations).Should().ContainSingle();
    }

    [Fact]
    public void A_difference_is_shown_beside_the_nearest_line()
    {
        string[] list =
        [
            .. ApiSamples.Expected.Select(line => line.Replace("double real = 1E-05", "double real = 0.0001", StringComparison.Ordinal)),
            "protected abstract System.IntPtr Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base.Find(string name)",
        ];

        string deviation = Types(typeof(ApiSamples)).SelectMany(new ApiList(list).Deviations).Single();

        deviation.Should().MatchRegex("(?s)real = 1E-05.*the list: .*real = 0.0001");
    }

    [Fact]
    public void A_member_that_the_list_does_not_name_is_said_to_be_missing()
    {
        string[] list = [.. ApiSamples.Expected.Where(line => !line.Contains(".Half(", StringComparison.Ordinal))];

        string deviation = Types(typeof(ApiSamples)).SelectMany(new ApiList(list).Deviations).Single();

        deviation.Should().EndWith("the list: has no Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Half");
    }

    private static IEnumerable<Type> Types(Type type) => type.GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic)
        .SelectMany(Types).Prepend(type).Where(ApiSignature.IsVisible);

    private static IEnumerable<string> Lines(Type outer) => Types(outer).SelectMany(type =>
    {
        string bases = type == typeof(ApiSamples.Part<>) ? " : Imta.MetaWeight.Tests.TorchSharp.ApiSamples.Base, System.IDisposable" : type.IsEnum ? " : sbyte" : "";
        string header = ApiSignature.Header(type);
        int where = header.IndexOf(" where ", StringComparison.Ordinal);
        return ApiSignature.Members(type).Prepend(where < 0 ? header + bases : header.Insert(where, bases));
    });
}
