using System.Runtime.InteropServices;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Tests.Native;

/// <summary>It sees all of the process, so nothing else may run beside these tests.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class OperatorProfilerTests : NativeTest
{
    private static readonly Operator Relu = new("aten::relu");
    private static readonly Operator Linear = new("aten::linear");

    [SkippableFact]
    public void Calls_are_counted_exactly()
    {
        nint x = Vector(1, -2);
        Own(Relu.Invoke(Arg(x)));

        Dictionary<string, OperatorTime> times = Profiled(() =>
        {
            for (int k = 0; k < 3; k++)
            {
                Own(Relu.Invoke(Arg(x)));
            }
        });

        times["aten::relu"].Calls.Should().Be(3);
        times.Values.Should().OnlyContain(one => one.SelfSeconds >= 0);
        Profiled(() => Own(Relu.Invoke(Arg(x))))["aten::relu"].Calls.Should().Be(1, "it starts anew");
    }

    [SkippableFact]
    public void An_operator_has_its_time_without_what_it_calls()
    {
        const int Size = 500;
        nint matrix = Own(TensorHandle.FromMemory(new byte[Size * Size * sizeof(double)], [Size, Size], (int)ScalarType.Float64, sizeof(double)));

        Dictionary<string, OperatorTime> times = Profiled(() => Own(Linear.Invoke(Arg(matrix), Arg(matrix), Argument.None)));

        // linear calls matmul, and that mm, which does all of the work.
        times["aten::linear"].Calls.Should().Be(1);
        times["aten::mm"].Calls.Should().Be(1);
        times["aten::mm"].SelfSeconds.Should().BeGreaterThan(times["aten::linear"].SelfSeconds);
    }

    [SkippableFact]
    public void The_nodes_of_a_backward_pass_are_seen()
    {
        nint x = Vector(1, -2);
        TensorHandle.SetRequiresGrad(x, true);
        nint y = Own(Relu.Invoke(Arg(x)));

        Profiled(() => TensorHandle.Backward([y], [Vector(1, 1)], [], retainGraph: false, createGraph: false))["ReluBackward0"].Calls.Should().Be(1);
    }

    [SkippableFact]
    public void The_one_that_took_most_comes_first()
    {
        nint x = Vector(1, -2);
        OperatorProfiler.Start(waitForDevice: false);
        for (int k = 0; k < 100; k++)
        {
            Own(Relu.Invoke(Arg(x)));
        }

        OperatorProfiler.Stop().Select(one => one.SelfSeconds).Should().BeInDescendingOrder().And.HaveCountGreaterThan(1);
    }

    [SkippableFact]
    public void There_is_one_at_a_time()
    {
        FluentActions.Invoking(OperatorProfiler.Stop).Should().Throw<ExternalException>().WithMessage("*not being timed*");
        OperatorProfiler.Start(waitForDevice: false);
        FluentActions.Invoking(() => OperatorProfiler.Start(waitForDevice: false)).Should().Throw<ExternalException>().WithMessage("*already*");
        OperatorProfiler.Stop().Should().BeEmpty();
    }

    private static Dictionary<string, OperatorTime> Profiled(Action work)
    {
        OperatorProfiler.Start(waitForDevice: false);
        work();
        return OperatorProfiler.Stop().ToDictionary(one => one.Name);
    }
}
