using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Native;
using Imta.MetaWeight.Tests.Meta;
using Imta.MetaWeight.Tests.Native;

namespace Imta.MetaWeight.Tests.Experiments.Training;

/// <summary>
/// A training step only queues work: nothing in it asks the device for a value, which would wait for all that is queued. On the CPU that shows
/// in what libtorch is asked for.
/// </summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class DeviceReadingTests : NativeTest
{
    /// <summary>Operators whose result, or its shape, the host has to know.</summary>
    private static readonly string[] Reading =
    [
        "aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::allclose", "aten::nonzero", "aten::argwhere", "aten::masked_select",
        "aten::_unique", "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive", "aten::bincount", "aten::histc", "aten::repeat_interleave", "aten::one_hot",
    ];

    public static TheoryData<CombinationTests.Combination, MetaGradientMethod, MetaMemory, MetaObjectiveKind> Loops
    {
        get
        {
            var loops = new TheoryData<CombinationTests.Combination, MetaGradientMethod, MetaMemory, MetaObjectiveKind>();
            foreach (bool raNet in (bool[])[false, true])
            {
                var all = new CombinationTests.Combination(Meta: true, Ge: true, Isc: true, Ofa: true, raNet);
                loops.Add(all with { Meta = false }, MetaGradientMethod.Forward, MetaMemory.Normal, MetaObjectiveKind.Allocated);
                loops.Add(all, MetaGradientMethod.Forward, MetaMemory.Normal, MetaObjectiveKind.Allocated);
                loops.Add(all, MetaGradientMethod.Forward, MetaMemory.Low, MetaObjectiveKind.Vanilla);
                loops.Add(all with { SecondPhase = true }, MetaGradientMethod.Forward, MetaMemory.Normal, MetaObjectiveKind.Allocated);
                loops.Add(all, MetaGradientMethod.Unrolled, MetaMemory.Normal, MetaObjectiveKind.Allocated);
            }

            return loops;
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Loops))]
    public void A_step_with_its_batch_its_sums_and_its_watch_reads_nothing(CombinationTests.Combination combination, MetaGradientMethod method, MetaMemory memory, MetaObjectiveKind objective)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(3);
        using ImageSet images = GeneratedImages.Make(16, 10, random);
        using var network = combination.Build(random);
        using var loss = new TrainingLoss(new LossOptions { Ofa = new DistillationOptions { Enabled = true } }, [], float64, CPU);
        using var optimiser = new Sgd(network.Parameters, new TrainOptions());
        var meta = new MetaOptions { Gradient = method, Memory = memory, Objective = objective, Features = WeightFeatures.Both, Wpn = new WpnOptions { Hidden = 5 } };
        (int inputs, int outputs) = (SampleWeighting.Inputs(meta, network.Exits), SampleWeighting.Outputs(meta, network.Exits));
        using var predictor = new WeightPredictionNetwork(meta.Wpn, inputs, outputs, random, float64, CPU);
        using var adam = new Adam(predictor.Parameters, 1e-4);
        IMetaGradient gradient = MetaGradients.Build(meta, network, optimiser, loss);
        BilevelLoop loop = combination.Meta ? new(gradient, optimiser, new SampleWeighting(predictor, meta), adam) : new(gradient, optimiser);
        using var progress = new EpochProgress(network.Exits, images.Count, CPU, recordsWeights: true);
        var source = new BatchSource(images, Normalisation.Generated, type: float64);

        OperatorProfiler.Start(waitForDevice: false);
        foreach (Batch batch in source.Training(new BatchPlan(images.Count, 8, 1), epoch: 0, augment: true))
        {
            IReadOnlyList<PartReport> parts = loop.Step(new LabelledImages(batch.Images, batch.Labels), new Rates(0.1, 0.01), updateWeighting: true);
            progress.Watch.Note(1, parts);
            progress.Record!.Add(batch, parts);
            Array.ForEach([.. parts], progress.Tally.Add);
        }

        IReadOnlyList<OperatorTime> steps = OperatorProfiler.Stop();
        OperatorProfiler.Start(waitForDevice: false);
        progress.Watch.Look().Should().BeNull();
        progress.Tally.Close(Imta.MetaWeight.Experiments.Processes.Replicas.Alone);
        _ = progress.Record!.Table(images);
        _ = ones([1]).item<float>();
        string[] later = [.. OperatorProfiler.Stop().Select(called => called.Name)];

        steps.Sum(called => called.Calls).Should().BeGreaterThan(500);
        steps.Select(called => called.Name).Intersect(Reading).Should().BeEmpty();
        later.Intersect(Reading).Should().NotBeEmpty("the record shows what reads");
    }
}
