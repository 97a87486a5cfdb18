
namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>A part of a run that trains one set of parameters: the whole of a run with one phase, or IMTA's phase I or II.</summary>
/// <param name="Number">1 or 2.</param>
/// <param name="Settings">Those of the run with what holds in this phase: <c>train</c> is its own, and so are modifiers and loss.</param>
/// <param name="EpochsBefore">Epochs of the run before this phase.</param>
internal sealed record TrainingPhase(int Number, Settings Settings, int EpochsBefore)
{
    /// <summary>The run's epochs behind this phase.</summary>
    public int LastEpoch => EpochsBefore + Settings.Train.Epochs;

    /// <summary>
    /// The phases that a run trains. Of two, ISC and OFA are in the second; the first falls away where its network is given.
    /// </summary>
    public static IReadOnlyList<TrainingPhase> Of(Settings run)
    {
        if (run.Phase2.Epochs == 0)
        {
            return [new(1, run, 0)];
        }

        var first = new TrainingPhase(1, FirstOfTwo(run), 0);
        int before = run.Phase2.From is null ? first.LastEpoch : 0;
        var second = new TrainingPhase(2, run with { Train = run.Phase2 }, before);
        return run.Phase2.From is null ? [first, second] : [second];
    }

    /// <summary>The phase of a run that trained a network; phase I also where the run takes it from another.</summary>
    public static TrainingPhase Of(Settings run, int number)
        => Of(run).FirstOrDefault(phase => phase.Number == number) ?? new(1, FirstOfTwo(run), 0);

    /// <summary>What holds in phase I of two: neither ISC nor OFA.</summary>
    public static Settings FirstOfTwo(Settings run) => run with
    {
        Modifiers = run.Modifiers with { Isc = run.Modifiers.Isc with { Enabled = false } },
        Loss = run.Loss with { Ofa = run.Loss.Ofa with { Enabled = false } },
    };
}
