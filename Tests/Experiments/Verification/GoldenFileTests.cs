using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Verification;

namespace Imta.MetaWeight.Tests.Experiments.Verification;

/// <summary>Comparing with golden numbers has to notice what it is there for.</summary>
public sealed class GoldenFileTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Tensor _gradient = arange(Held(1), Held(1001), One, ScalarType.Float64).reshape(10, 100);
    private readonly GoldenFile _golden;

    public GoldenFileTests()
    {
        double[] values = _gradient.data<double>().ToArray();
        TorchFileWriter.Write(_file, new TorchDictionary
        {
            ["grad/small"] = tensor(new[] { 1.0, -2.0 }),
            ["grad_sample/big"] = tensor(values.Where((_, i) => i % 3 == 0).Take(333).ToArray()),
            ["grad_stat/big"] = tensor(
                new[] { values.Sum(), values.Sum(v => v * v), values.Sum(Math.Abs), values.Select((v, i) => v * Math.Cos(i)).Sum() }),
            ["slots_stat/mean/0"] = tensor(new[] { 3.0, 9.0, 3.0, 3.0 }),
            ["config/step"] = tensor(4L),
            ["config/rate"] = tensor(0.1),
        });
        _golden = GoldenFile.Open(_file);
    }

    [Fact]
    public void Keys_and_numbers_are_found()
    {
        _golden.Keys.Should().Equal("config/rate", "config/step", "grad/small", "grad_sample/big", "grad_stat/big", "slots_stat/mean/0");
        _golden.LogicalKeys.Should().Equal("config/rate", "config/step", "grad/small", "grad/big", "slots/mean/0");
        _golden.KeysUnder("config").Should().Equal("rate", "step");
        _golden.Names("grad").Should().Equal("big", "small");
        _golden.Int("config/step").Should().Be(4);
        _golden.Real("config/rate").Should().Be(0.1);
        Action missing = () => _golden.Compare("grad/other", _gradient);
        missing.Should().Throw<KeyNotFoundException>();
    }

    [Fact]
    public void Equal_tensors_agree_whole_or_by_sample_and_sums()
    {
        _golden.Compare("grad/small", tensor(new[] { 1.0, -2.0 }));
        _golden.Compare("grad/big", _gradient);
        _golden.Compare("slots/mean/0", tensor(new[] { 3.0 }));
    }

    [Theory]
    [InlineData(300)] // in the sample
    [InlineData(301)] // seen by the sums only
    public void One_element_that_differs_is_noticed(int index)
    {
        double[] values = _gradient.data<double>().ToArray();
        values[index] += 1;
        Action compare = () => _golden.Compare("grad/big", tensor(values, [10, 100]));
        compare.Should().Throw<Exception>().WithMessage("*grad/big*relative error*");
    }

    [Fact]
    public void The_error_is_relative_to_the_largest_value_and_NaN_is_no_agreement()
    {
        _golden.Error("grad/small", tensor(new[] { 1.0, -2.5 })).Should().Be(0.25);
        Action nan = () => _golden.Compare("grad/small", tensor(new[] { double.NaN, -2.0 }));
        nan.Should().Throw<Exception>().WithMessage("*grad/small*");
        Action shape = () => _golden.Compare("grad/small", tensor(new[] { 1.0, -2.0 }, [2, 1]));
        shape.Should().Throw<Exception>().WithMessage("*grad/small*");
    }

    public void Dispose()
    {
        _golden.Dispose();
        _scope.Dispose();
        File.Delete(_file);
    }
}
