using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Tests.Architecture;

/// <summary>
/// No number is given to an operator of TorchSharp but by <c>Held</c>, which keeps it alive, and nothing is called of which TorchSharp
/// itself gives a number so, as <c>x + y</c> the factor of y.
/// </summary>
public sealed class HeldScalarsTests
{
    private static readonly Lazy<IReadOnlySet<string>> Careless = new(OfTorchSharp);

    public static TheoryData<string> Assemblies
        =>
        [
            .. new[]
            {
                typeof(Confidence), typeof(MultiExitNetwork), typeof(TrainingLoss), typeof(BilevelLoop), typeof(UsageException),
                typeof(HeldScalarsTests),
            }.Select(type => type.Assembly.Location),
        ];

    [Theory]
    [MemberData(nameof(Assemblies))]
    public void Every_number_is_held(string assembly)
    {
        IEnumerable<string> careless = CompiledMethod.Of(assembly).Where(method => !Is(method.Name, "HeldScalars."))
            .SelectMany(method => method.Calls.Where(Careless.Value.Contains).Select(call => $"{method.Name} calls {call}"));

        string.Join('\n', careless).Should().BeEmpty();
    }

    [Fact]
    public void What_in_TorchSharp_converts_numbers_is_found()
    {
        Careless.Value.Should().Contain(
        [
            "ScalarExtensionMethods.ToScalar(Double)", "Scalar.op_Implicit(Int32)", "Tensor.op_Multiply(Tensor, Int32)",
            "Tensor.add(Tensor)", "Tensor.op_Addition(Tensor, Tensor)", "torch.add_(Tensor, Scalar)",
            "functional.softplus(Tensor, Double, Double)", "Softplus..ctor(Double, Double)", "nn.Softplus(Double, Double)",
            "SGD.step(Func`1)",
        ]);
        Careless.Value.Should().NotContain(
            ["Tensor.add(Tensor, Scalar)", "Tensor.mul(Scalar)", "Tensor.mul(Tensor)", "Tensor.op_Subtraction(Tensor, Tensor)"]);
    }

    /// <summary>
    /// What converts a number to a <c>Scalar</c>, whatever calls that, and the constructors of modules and optimisers that do so in a step.
    /// </summary>
    private static HashSet<string> OfTorchSharp()
    {
        CompiledMethod[] methods = [.. CompiledMethod.Of(typeof(torch).Assembly.Location)];
        string[] names = [.. methods.Select(method => method.Name)];
        HashSet<string> found = [.. names.Where(name => Is(name, "ScalarExtensionMethods.ToScalar(") || Is(name, "Scalar.op_Implicit("))];
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
