using System.Globalization;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Backbones.Ra;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using Imta.MetaWeight.Tests.Backbones;
using Imta.MetaWeight.Tests.Experiments;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Meta;

/// <summary>Native memory is invisible to the garbage collector: the loop has to free what it takes, step by step.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class NativeMemoryTests(ITestOutputHelper output)
{
    /// <summary>The argument of this assembly's program for <see cref="FreeMemory"/>.</summary>
    public const string Program = "memory";

    [Fact]
    public void Three_hundred_steps_hold_no_more_tensors_and_memory_than_ten()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "resident memory is read from /proc");

        // A process of its first seconds grows by itself: code is compiled, and compiled again, and the collector sizes its heap.
        using (var other = new TinyBilevel())
        {
            Steps(other.Loop, other.Batch(8), 300);
        }

        using var tiny = new TinyBilevel();
        LabelledImages batch = tiny.Batch(8);
        Steps(tiny.Loop, batch, 10);
        long held = Held();
        double resident = ResidentMegabytes();
        Steps(tiny.Loop, batch, 290);

        Tensor.TotalCount.Should().Be(held);
        double residentLater = ResidentMegabytes();
        output.WriteLine($"{held} tensors; {resident:f1} MB after 10 steps, {residentLater:f1} MB after 300");
        residentLater.Should().BeLessThan(1.02 * resident);
    }

    /// <summary>On the first thread of a process; in others glibc allocates otherwise.</summary>
    [Fact]
    public void Freed_tensors_leave_the_process_when_asked()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "resident memory is read from /proc");

        using ImtaProcess program = ImtaProcess.StartCommand(Path.GetTempPath(), ImtaProcess.Tests(Program));
        string[] freed = program.End().Output.Split();

        int.Parse(freed[0], CultureInfo.InvariantCulture).Should().BeLessThan(50, "it is kept for the next steps");
        int.Parse(freed[1], CultureInfo.InvariantCulture).Should().BeGreaterThan(150);
    }

    /// <summary>Frees a tensor of 200 MB, and says by how many megabytes the process shrinks, before and after asking for it.</summary>
    public static int FreeMemory()
    {
        TorchLibraries.Prepare();
        Tensor tensor = ones([200_000_000], ScalarType.Byte);
        double resident = ResidentMegabytes();
        tensor.Dispose();
        double kept = ResidentMegabytes();
        TorchLibraries.ReturnFreeMemory();
        Console.WriteLine(FormattableString.Invariant($"{resident - kept:f0} {resident - ResidentMegabytes():f0}"));
        return 0;
    }

    [Theory]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Normal)]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Low)]
    [InlineData(MetaGradientMethod.Unrolled, MetaMemory.Normal)]
    [InlineData(MetaGradientMethod.FiniteDifference, MetaMemory.Normal)]
    public void Steps_of_an_msdnet_hold_no_more_tensors_from_one_to_the_next(MetaGradientMethod gradient, MetaMemory memory)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(7);
        using MsdNet network = SmallMsdNet.Build(float32, random);
        StepsHoldNoMore(network, TrainingLoss.Plain, gradient, memory, random);
    }

    [Theory]
    [InlineData("pcgrad", MetaGradientMethod.Forward)]
    [InlineData("pcgrad", MetaGradientMethod.Unrolled)]
    [InlineData("cagrad", MetaGradientMethod.Forward)]
    [InlineData("nashMtl", MetaGradientMethod.Forward)]
    [InlineData("dwa", MetaGradientMethod.Forward)]
    [InlineData("uncertainty", MetaGradientMethod.Forward)]
    [InlineData("gradNorm", MetaGradientMethod.Unrolled)]
    [InlineData("lossEqual", MetaGradientMethod.Forward)]
    [InlineData("last", MetaGradientMethod.Unrolled)]
    public void Steps_by_a_combination_of_gradients_hold_no_more_tensors_from_one_to_the_next(
        string combination, MetaGradientMethod gradient)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(7);
        using MsdNet network = SmallMsdNet.Build(float32, random, blocks: 3);
        using var optimiser = new Sgd(network.named_parameters(), new TrainOptions());
        IMetaGradient method = MetaGradients.Create(new MetaOptions { Gradient = gradient }, network, optimiser, TrainingLoss.Plain);
        CombinationMethod chosen = Registries.Combinations.Find(combination);
        var loop = new BilevelLoop(
            method, new UniformWeighting(), optimiser, chosen.Build(chosen.DefaultOptions(), step => new Generator((ulong)step)));
        var batch = new LabelledImages(
            randn([8, 3, 32, 32], generator: random), randint(network.Classes, [8], int64, generator: random));

        Steps(loop, batch, 2);
        long held = Held();
        Steps(loop, batch, 10);

        Tensor.TotalCount.Should().Be(held);
    }

    [Fact]
    public void Epochs_of_Meta_GF_hold_no_more_tensors_from_one_to_the_next()
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(7);
        using MsdNet network = SmallMsdNet.Build(float32, random, blocks: 2);
        using var optimiser = new Sgd(network.named_parameters(), new TrainOptions());
        IMetaGradient method = MetaGradients.Create(new MetaOptions(), network, optimiser, TrainingLoss.Plain);
        using var metaGf = new MetaGf(new MetaGfOptions(), network, method, optimiser);
        var batch = new LabelledImages(
            randn([8, 3, 32, 32], generator: random), randint(network.Classes, [8], int64, generator: random));

        Epochs(1);
        long held = Held();
        Epochs(3);

        Tensor.TotalCount.Should().Be(held);

        void Epochs(int count)
        {
            foreach (int step in Enumerable.Range(0, count * metaGf.Passes))
            {
                using DisposeScope ofStep = NewDisposeScope();
                metaGf.Step(batch, new PassPosition(0, 1, step % metaGf.Passes), 0.01);
                if (step % metaGf.Passes == metaGf.Passes - 1)
                {
                    metaGf.EndEpoch();
                }
            }
        }
    }

    /// <summary>With GE, ISC and OFA, in one phase and in phase II.</summary>
    [Theory]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Normal, false)]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Low, false)]
    [InlineData(MetaGradientMethod.Unrolled, MetaMemory.Normal, false)]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Normal, true)]
    [InlineData(MetaGradientMethod.Forward, MetaMemory.Low, true)]
    [InlineData(MetaGradientMethod.Unrolled, MetaMemory.Normal, true)]
    public void Steps_of_a_ranet_with_all_modifiers_hold_no_more_tensors_from_one_to_the_next(
        MetaGradientMethod gradient, MetaMemory memory, bool secondPhase)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(7);
        using MultiExitNetwork network = new CombinationTests.Combination(
            Meta: true, Ge: true, Isc: true, Ofa: true, RaNet: true, secondPhase)
            .Build(random);
        using var loss = new TrainingLoss(new LossOptions { Ofa = new DistillationOptions { Enabled = true } }, [], float64, CPU);
        StepsHoldNoMore(network, loss, gradient, memory, random);
    }

    [Fact]
    public void Ranks_that_share_batches_leave_no_tensor_behind()
    {
        long[] held = [.. new[] { 3, 3, 30 }.Select(steps =>
        {
            ThreadGroup.Run(2, all =>
            {
                using var tiny = new TinyBilevel(
                    meta: new MetaOptions { Lookahead = LookaheadScope.Global, Wpn = new WpnOptions { Hidden = 5 } },
                    averaging: all.AllReduceMean);
                Steps(tiny.Loop, tiny.Batch(8), steps);
                return all.AllReduceFlags(stop: false);
            });
            NativeMemoryCollection.Settle();
            return Tensor.TotalCount;
        })];

        // TorchSharp 0.107 counts each Parameter that was ever made once more than it lives: so much for each network.
        (held[2] - held[1]).Should().Be(held[1] - held[0]);
    }

    private static void StepsHoldNoMore(
        MultiExitNetwork network, TrainingLoss loss, MetaGradientMethod gradient, MetaMemory memory, Generator random)
    {
        ScalarType type = network.Parameters[0].dtype;
        using var optimiser = new Sgd(network.named_parameters(), new TrainOptions());
        var meta = new MetaOptions { Gradient = gradient, Memory = memory, Wpn = new WpnOptions { Hidden = 16 } };
        using ISampleWeighting weighting = WeightingMethod.Predicted.Build(new NoOptions(), meta, network, random);
        IMetaGradient method = MetaGradients.Create(meta, network, optimiser, loss);
        var loop = new BilevelLoop(method, weighting, optimiser, new GradientSum());
        var batch = new LabelledImages(
            randn([8, 3, 32, 32], type, generator: random), randint(network.Classes, [8], int64, generator: random));

        Steps(loop, batch, 2);
        long held = Held();
        Steps(loop, batch, 10);

        Tensor.TotalCount.Should().Be(held);
    }

    private static void Steps(BilevelLoop loop, LabelledImages batch, int steps)
    {
        for (int step = 0; step < steps; step++)
        {
            using DisposeScope ofStep = NewDisposeScope();
            loop.Step(batch, new LearningRates(1e-3, 1e-3), learns: true);
        }
    }

    /// <summary>Tensors that are held now, once the collector has taken what other tests left to it.</summary>
    private static long Held()
    {
        NativeMemoryCollection.Settle();
        return Tensor.TotalCount;
    }

    private static double ResidentMegabytes()
    {
        string line = File.ReadLines("/proc/self/status").Single(line => line.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) / 1024.0;
    }
}
