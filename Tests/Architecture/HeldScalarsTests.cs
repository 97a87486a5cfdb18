using ExtensionHost;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Tests.Architecture;

/// <summary>No number is given to an operator of TorchSharp except through <c>Held</c>, which keeps it alive.</summary>
public sealed class HeldScalarsTests
{
    public static TheoryData<string> Assemblies
        =>
        [
            .. new[]
            {
                typeof(Confidence), typeof(MultiExitNetwork), typeof(TrainingLoss), typeof(BilevelLoop), typeof(UsageException),
                typeof(AgreementPolicy), typeof(HeldScalarsTests),
            }.Select(type => type.Assembly.Location),
        ];

    [Theory]
    [MemberData(nameof(Assemblies))]
    public void Every_number_is_held(string assembly) => UnheldNumbers.In(assembly).Should().BeEmpty();

    [Fact]
    public void What_in_TorchSharp_converts_numbers_is_found()
    {
        UnheldNumbers.Converting.Should().Contain(
        [
            "ScalarExtensionMethods.ToScalar(Double)", "Scalar.op_Implicit(Int32)", "Tensor.ToScalar()", "Tensor.op_Explicit(Tensor)",
            "Tensor.op_Multiply(Tensor, Int32)", "Tensor.add(Tensor)", "Tensor.op_Addition(Tensor, Tensor)", "torch.add_(Tensor, Scalar)",
            "functional.softplus(Tensor, Double, Double)", "Softplus..ctor(Double, Double)", "nn.Softplus(Double, Double)",
            "SGD.step(Func`1)",
        ]);
        UnheldNumbers.Converting.Should().NotContain(
            ["Tensor.add(Tensor, Scalar)", "Tensor.mul(Scalar)", "Tensor.mul(Tensor)", "Tensor.op_Subtraction(Tensor, Tensor)"]);
    }
}
