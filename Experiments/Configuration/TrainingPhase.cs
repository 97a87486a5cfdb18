using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>A part of a run with an optimiser of its own: the whole of a single-phase run, or one of two phases.</summary>
/// <param name="Number">1 or 2.</param>
/// <param name="Settings">The run's settings as they apply to this phase, with its own <c>train</c>, modifiers, loss and meta.</param>
/// <param name="EpochsBefore">Epochs of the run before this phase.</param>
internal sealed record TrainingPhase(int Number, Settings Settings, int EpochsBefore)
{
    /// <summary>The run's last epoch of this phase.</summary>
    public int LastEpoch => EpochsBefore + Settings.Train.Epochs;

    /// <summary>Whether it trains new layers on a frozen network, rather than the whole network.</summary>
    public bool FreezesNetwork => Number == 2 && Settings.Phase2.Regime == PhaseTwoRegime.Frozen;

    /// <summary>The phases that a run trains; of two, the first is skipped if its network is given.</summary>
    public static IReadOnlyList<TrainingPhase> ForRun(Settings run)
    {
        if (run.Phase2.Epochs == 0)
        {
            return [new(1, run, 0)];
        }

        var first = new TrainingPhase(1, PhaseOneSettings(run), 0);
        int before = run.Phase2.From is null ? first.LastEpoch : 0;
        var second = new TrainingPhase(2, run with { Train = new TrainSettings(run.Phase2) }, before);
        return run.Phase2.From is null ? [first, second] : [second];
    }

    /// <summary>The phase of a run by its number; phase I exists even if the run takes that network from another run.</summary>
    public static TrainingPhase ForRun(Settings run, int number)
        => ForRun(run).FirstOrDefault(phase => phase.Number == number) ?? new(1, PhaseOneSettings(run), 0);

    /// <summary>
    /// The settings of phase I of two: without ISC and OFA, and in the mixed regime plain training of the last exit alone.
    /// </summary>
    public static Settings PhaseOneSettings(Settings run)
    {
        Settings first = run with
        {
            Modifiers = run.Modifiers with { Isc = run.Modifiers.Isc with { Enabled = false } },
            Loss = run.Loss with { Ofa = run.Loss.Ofa with { Enabled = false } },
        };
        return run.Phase2.Regime == PhaseTwoRegime.Frozen ? first : first with
        {
            Meta = run.Meta with { Enabled = false },
            Modifiers = first.Modifiers with
            {
                Combination = run.Modifiers.Combination.Choose(CombinationMethod.Last.Name),
                Ge = run.Modifiers.Ge with { Enabled = false },
                Boosting = run.Modifiers.Boosting with { Enabled = false },
            },
        };
    }
}
