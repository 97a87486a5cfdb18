using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp.Modules;

namespace Imta.MetaWeight.Tests.Native;

/// <summary>The number of live tensors comes back to what it was, whatever happens on the way.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class NativeMemoryTests
{
    [SkippableFact]
    public void A_scope_brings_the_counts_back() => Unchanged(() =>
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = randn([8, 8], requires_grad: true);
        for (int k = 0; k < 10; k++)
        {
            x.matmul(x).relu().sum().backward();
            _ = x.grad;
        }

        Tensor.TotalCount.Should().BeGreaterThan(10);
    });

    [SkippableFact]
    public void Finalizers_free_what_nobody_disposed()
    {
        Skip.IfNot(TorchSharp.TorchSource.IsSystem, "TorchSource=package: the package counts its handles itself");
        Unchanged(() =>
        {
            long before = TensorHandle.Live;
            Forget();
            TensorHandle.Live.Should().BeGreaterThanOrEqualTo(before + 100);
        });

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Forget()
        {
            for (int k = 0; k < 100; k++)
            {
                _ = ones([2L]);
            }
        }
    }

    [SkippableFact]
    public void A_graph_of_second_order_that_nobody_disposed_is_freed_too() => Unchanged(() =>
    {
        Build();

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Build()
        {
            for (int k = 0; k < 20; k++)
            {
                Tensor x = randn([16, 16], ScalarType.Float64).requires_grad_();
                Tensor loss = x.matmul(x).tanh().pow(2).sum();
                Tensor first = autograd.grad([loss], [x], retain_graph: true, create_graph: true)[0];
                Tensor second = autograd.grad([first.pow(2).sum()], [x], retain_graph: true, create_graph: true)[0];
                second.shape.Should().Equal(16, 16);
            }
        }
    });

    [SkippableFact]
    public void The_memory_of_a_graph_of_second_order_goes_with_it()
    {
        Step();
        NativeMemoryCollection.Settle();
        long before = ResidentBytes();
        for (int k = 0; k < 20; k++)
        {
            Step();
        }

        // A leak would hold some 20 times 3 graphs with several matrices of 512 KiB each.
        (ResidentBytes() - before).Should().BeLessThan(40L << 20);

        static void Step()
        {
            for (int k = 0; k < 3; k++)
            {
                using DisposeScope scope = NewDisposeScope();
                Tensor x = randn([256, 256], ScalarType.Float64).requires_grad_();
                Tensor first = autograd.grad([x.matmul(x).tanh().sum()], [x], retain_graph: true, create_graph: true)[0];
                autograd.grad([first.pow(2).sum()], [x], retain_graph: true, create_graph: true)[0].shape.Should().Equal(256, 256);
            }
        }
    }

    [SkippableFact]
    public void Errors_leave_no_handles_behind() => Unchanged(() =>
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor x = ones([20L], requires_grad: true), y = ones([3L]), label = tensor(new[] { 9L });
        Tensor overwritten = x.exp();
        _ = overwritten.mul_(2);
        Action[] failures =
        [
            () => x.add(y), () => cat([x, y, x.unsqueeze(0)]), () => x.index_select(0, label.add(30)), () => overwritten.sum().backward(),
            () => autograd.grad([overwritten.sum()], [x]), () => new Operator("aten::chunk").Invoke(Argument.Tensor(x.Handle, x), 20),
            () => new Operator("aten::max", "dim").Invoke(Argument.Tensor(x.Handle, x), 0), () => empty([1_000_000_000_000_000]),
            () => new Operator("aten::size", "int").Invoke(Argument.Tensor(x.Handle, x), 0), () => tensor(new float[2], [3]),
        ];
        foreach (Action failure in failures)
        {
            failure.Should().Throw<Exception>();
        }
    });

    [SkippableFact]
    public void Both_counts_go_up_and_down_together()
    {
        Skip.IfNot(TorchSharp.TorchSource.IsSystem, "TorchSource=package: the package counts its handles itself");
        NativeMemoryCollection.Settle();
        long difference = TensorHandle.Live - Tensor.TotalCount;
        using (NewDisposeScope())
        {
            Tensor x = ones([4L, 4L], requires_grad: true);
            _ = x.chunk(4);
            _ = x.max(0);
            _ = Tensor.UnsafeCreateTensor(TensorHandle.Share(x.Handle));
            using var parameter = new Parameter(ones([2L]));
            using (no_grad())
            {
                _ = parameter.add_(1);
            }

            (TensorHandle.Live - Tensor.TotalCount).Should().Be(difference);
        }

        (TensorHandle.Live - Tensor.TotalCount).Should().Be(difference);
        Tensor.PeakCount.Should().BeGreaterThanOrEqualTo(Tensor.TotalCount);
    }

    [SkippableFact]
    public void Calls_from_many_threads_under_a_busy_collector_free_each_handle_once()
    {
        Skip.IfNot(TorchSharp.TorchSource.IsSystem, "TorchSource=package: the package counts its handles itself");
        Unchanged(() =>
        {
            using var stop = new CancellationTokenSource();
            Task collector = Task.Run(() =>
            {
                while (!stop.IsCancellationRequested)
                {
                    GC.Collect();
                    GC.WaitForPendingFinalizers();
                }
            });
            Parallel.For(0, 4, worker =>
            {
                for (int k = 0; k < 300; k++)
                {
                    // Nothing refers to the tensors in between: only the call itself keeps them alive.
                    (ones([64L]) + worker).mul(2).sum().item<float>().Should().Be(128 * (1 + worker));
                    ones([3L, 2L]).t().shape.Should().Equal(2, 3);
                    ones([1L]).requires_grad_().exp().pow(2).sum().requires_grad.Should().BeTrue();
                }
            });
            stop.Cancel();
            collector.Wait();
        });
    }

    private static void Unchanged(Action action)
    {
        NativeMemoryCollection.Settle();
        (long tensors, long handles) = (Tensor.TotalCount, TensorHandle.Live);

        action();

        NativeMemoryCollection.Settle();
        Tensor.TotalCount.Should().Be(tensors);
        TensorHandle.Live.Should().Be(handles);
    }

    private static long ResidentBytes()
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith("VmRSS", StringComparison.Ordinal));
        return long.Parse(new string([.. line.Where(char.IsDigit)]), System.Globalization.CultureInfo.InvariantCulture) * 1024;
    }
}
