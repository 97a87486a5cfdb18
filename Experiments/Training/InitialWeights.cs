using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary><c>train.initialise</c>: starting weights of a new run's network, from a run or any file with tensors by name.</summary>
/// <param name="Source">The file.</param>
/// <param name="Line">What was taken from it and what was not, for log and screen.</param>
internal sealed record InitialWeights(SourceFile Source, string Line)
{
    private const string Key = "train.initialise";
    private const string FrozenPrefix = "net."; // of phase II's frozen network
    private const int Shown = 3;

    /// <summary>The file of a run's starting weights; null: none.</summary>
    /// <exception cref="UsageException">It does not exist.</exception>
    public static string? FileOf(Settings run)
        => run.Train.Initialise is { } source ? Explained(() => RunFolder.CheckpointOf(source)) : null;

    /// <summary>Copies all tensors that fit by name and shape into the network; optimisers and epochs stay those of a new run.</summary>
    /// <param name="file">From <see cref="FileOf"/>.</param>
    /// <param name="run">The settings of the run that starts from it.</param>
    /// <param name="network">The network.</param>
    /// <param name="images">The fingerprint of the run's data set (<see cref="Data.RunData.Fingerprint"/>).</param>
    /// <exception cref="UsageException">The file cannot be read, no tensor fits, or one that fits is not finite.</exception>
    public static InitialWeights Load(string file, Settings run, MultiExitNetwork network, string? images)
    {
        using DisposeScope scope = NewDisposeScope();
        Dictionary<string, Tensor> state = network.state_dict();
        (Dictionary<string, Tensor> tensors, Settings? trained) = Explained(() => Read(file, state.Keys));
        (tensors, StateFit fit) = new[] { tensors, WithoutFrozenPrefix(tensors) }
            .Select(named => (named, StateFit.Compare(state, named))).MaxBy(candidate => Values(candidate.Item2.Matched));
        if (Values(fit.Matched) == 0)
        {
            throw new UsageException($"{Key}: none of the {tensors.Count} tensors of {file} matches the network by name and shape"
                + $"{Misfits(fit)}; give a file of the same architecture");
        }

        using IDisposable noGrad = no_grad();
        foreach (string name in fit.Matched)
        {
            state[name].copy_(tensors[name]);
        }

        if (NonFinite.FindIn(new StateTree(state)) is { } broken)
        {
            throw new UsageException($"{Key}: {file} contains NaN or infinite values ({broken}): its training diverged; give another file");
        }

        string taken = FormattableString.Invariant($"{Values(fit.Matched)} of the network's {Values(state.Keys)} tensors from {file}");
        string seen = trained?.Data.Dataset == run.Data.Dataset
            && (!PhaseOneLoader.HaveSameImages(trained, run) || RunFolder.Containing(file)?.HasDifferentData(images) == true)
            ? "; warning: its training may have seen images that are held out here (seed, data or held-out meta data differ)"
            : "";
        return new InitialWeights(
            new SourceFile(Path.GetFullPath(file), FileHash.Sha256(file)), $"starting weights: {taken}{Misfits(fit)}{seen}");
    }

    /// <summary>The backbone's tensors in a file, by the network's names, and the settings that trained them, if known.</summary>
    private static (Dictionary<string, Tensor> Tensors, Settings? Trained) Read(string file, IReadOnlyCollection<string> names)
    {
        if (ForeignFile.Open(file, configured: false) is { } foreign)
        {
            return (foreign.For(names).BackboneTensors, null);
        }

        Checkpoint.CheckpointContent own = Checkpoint.Read(file);
        return (new(own.State.Group(ForeignFile.Backbone).Tensors), own.Settings);
    }

    /// <summary>The tensors of phase II's frozen network, without their prefix, and the others whose names are still free.</summary>
    private static Dictionary<string, Tensor> WithoutFrozenPrefix(Dictionary<string, Tensor> tensors)
        => tensors.OrderByDescending(entry => IsFrozen(entry.Key)).DistinctBy(entry => Own(entry.Key))
            .ToDictionary(entry => Own(entry.Key), entry => entry.Value);

    private static bool IsFrozen(string name) => name.StartsWith(FrozenPrefix, StringComparison.Ordinal);

    private static string Own(string name) => IsFrozen(name) ? name[FrozenPrefix.Length..] : name;

    /// <summary>The number of tensors that are not batch counters.</summary>
    private static int Values(IEnumerable<string> names) => names.Count(name => !StateFit.IsCount(name));

    private static string Misfits(StateFit fit)
        => Listed(fit.Missing, "missing") + Listed(fit.WrongShape, "with the wrong shape") + Listed(fit.Unexpected, "unexpected");

    private static string Listed(IReadOnlyList<string> names, string what) => names.Count == 0
        ? ""
        : FormattableString.Invariant($"; {names.Count} {what}: ")
            + string.Join(", ", names.Take(Shown).Append("…").Take(Math.Min(names.Count, Shown + 1)));

    private static T Explained<T>(Func<T> action)
    {
        try
        {
            return action();
        }
        catch (UsageException e)
        {
            throw new UsageException($"{Key}: {e.Message}", e);
        }
    }
}
