using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Tests.Meta;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>
/// Every combination of {plain, learned weights} × GE × ISC × OFA × {MSDNet, RANet} × {one phase, two phases} trains from a configuration.
/// </summary>
public sealed class TrainCombinationTests
{
    private const string Small = """
        data: {dataset: cifar10}
        model:
          msdnet: {blocks: 2, channels: 4, growth: 2}
          ranet: {blocks: 1, blockStep: 1, step: 1, channels: 4, growth: 4}
        train: {batch: 8, epochs: 1}
        meta: {wpn: {hidden: 5}}
        """;

    [Theory]
    [MemberData(nameof(Meta.CombinationTests.All), MemberType = typeof(Meta.CombinationTests))]
    public void Two_steps_of_each_phase_give_finite_losses_and_move_what_is_trained(Meta.CombinationTests.Combination combination)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(1);
        IReadOnlyList<TrainingPhase> phases = TrainingPhase.ForRun(Settings(combination));
        phases.Select(phase => phase.Number).Should().Equal(combination.SecondPhase ? [1, 2] : [1]);
        RunModel model = RunModel.Build(phases[0], [], CPU, ProcessGroup.SingleProcess);
        foreach (TrainingPhase phase in phases)
        {
            model = phase == phases[0] ? model : RunModel.Build(phase, [], CPU, ProcessGroup.SingleProcess, model.DetachNetwork());
            double[] before = [.. model.Network.Parameters.Select(parameter => parameter.abs().sum().item<float>())];
            for (int step = 0; step < 2; step++)
            {
                var batch = new LabelledImages(randn([8, 3, 32, 32], generator: random), randint(10, [8], int64, generator: random));
                model.Loop.Step(batch, new LearningRates(0.1, 0.01), learns: true)
                    .Should()
                        .OnlyContain(
                            part => part.Losses.isfinite().all().item<bool>() && ReferenceEquals(part.Objective, null) != combination.Meta);
            }

            model.Network.Parameters.Select(parameter => (double)parameter.abs().sum().item<float>()).Zip(before).Should()
                .OnlyContain(pair => pair.First != pair.Second);
        }

        model.Dispose();
    }

    private static Settings Settings(Meta.CombinationTests.Combination combination) => SettingsLoader.Parse(Small, "small.yaml", Set(
        $"meta.enabled={combination.Meta}", $"modifiers.ge.enabled={combination.Ge}", $"modifiers.isc.enabled={combination.Isc}",
        $"loss.ofa.enabled={combination.Ofa}", $"model.backbone={(combination.RaNet ? "ranet" : "msdnet")}",
        $"phase2.epochs={(combination.SecondPhase ? 1 : 0)}"));

    private static IEnumerable<SettingsOverride> Set(params string[] settings) => settings.Select(SettingsOverride.Parse);
}
