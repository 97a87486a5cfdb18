using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>A checkpoint loaded into the model of its run, on the CPU, to be written in another format.</summary>
internal sealed class CheckpointConversion : IDisposable
{
    private readonly string _source;
    private readonly Settings _settings;
    private readonly TrainingPhase _phase;
    private readonly RunModel _model;
    private readonly int _epochs;
    private readonly IReadOnlyDictionary<string, TorchValue> _metadata;

    /// <param name="source">The file, for messages.</param>
    /// <param name="settings">The run's settings.</param>
    /// <param name="phase">The phase that trained it.</param>
    /// <param name="model">The model with its state; ownership is transferred.</param>
    /// <param name="epochs">Completed epochs of the run; 0: unknown.</param>
    /// <param name="metadata">The metadata of a published checkpoint.</param>
    private CheckpointConversion(
        string source, Settings settings, TrainingPhase phase, RunModel model, int epochs,
        IReadOnlyDictionary<string, TorchValue> metadata)
        => (_source, _settings, _phase, _model, _epochs, _metadata) = (source, settings, phase, model, epochs, metadata);

    /// <summary>What is not converted, one line each.</summary>
    public IReadOnlyList<string> Warnings { get; private init; } = [];

    /// <summary>How much of the optimisers' state another program's file has; null: the file is from <c>imta train</c>.</summary>
    public OptimiserFit? Optimisers { get; private init; }

    /// <summary>Loads a checkpoint of <c>imta train</c>.</summary>
    /// <param name="source">The file.</param>
    /// <exception cref="UsageException">The file is damaged, or its model cannot be built.</exception>
    public static CheckpointConversion FromNative(string source)
    {
        Checkpoint.CheckpointContent checkpoint = Checkpoint.Read(source);
        TrainingPhase phase = TrainingPhase.ForRun(checkpoint.Settings, checkpoint.Phase);
        RunModel model = Restored(phase, one => checkpoint.Restore(one, source));
        List<string> warnings = [];
        if (checkpoint.MidEpochNote is { } inside)
        {
            warnings.Add($"{source} {inside}; its progress within the epoch is not converted");
        }

        if (ForeignCheckpoint.Unpublished(model.State) is { Length: > 0 } groups)
        {
            warnings.Add($"{source}: its {string.Join(", ", groups)}, which only a checkpoint of imta train can hold, "
                + (groups.Length == 1 ? "is skipped" : "are skipped"));
        }

        return new CheckpointConversion(
            source, checkpoint.Settings, phase, model, checkpoint.Epochs, new Dictionary<string, TorchValue>())
        {
            Warnings = warnings,
        };
    }

    /// <summary>Loads a file of another program.</summary>
    /// <param name="foreign">The file.</param>
    /// <param name="settings">The configuration of the run that it will belong to.</param>
    /// <param name="compared">Receives how the file's tensors fit the model's, before a misfit throws.</param>
    /// <exception cref="UsageException">The file does not fit the configuration, or the model cannot be built.</exception>
    public static CheckpointConversion FromForeign(ForeignCheckpoint foreign, Settings settings, Action<StateFit> compared)
    {
        TrainingPhase phase = foreign.PhaseOf(settings);
        StateFit? fit = null;
        OptimiserFit optimisers = default;
        RunModel model = Restored(phase, one =>
        {
            StateTree state = one.State;
            Dictionary<string, Tensor> own = ForeignCheckpoint.TensorsOf(state);
            ForeignCheckpoint named = foreign.For(own.Keys);
            compared(fit = StateFit.Compare(own, named.Tensors));
            named.Restore(state);
            (int momentum, int moments) = PublishedOptimisers.Replace(state, one.Network.ParameterNames, named);
            one.LoadState(state);
            optimisers = new OptimiserFit(momentum, one.Network.Parameters.Count, moments, one.Weighting.Parameters.Count);
        });
        return new CheckpointConversion(foreign.File, settings, phase, model, foreign.EpochsOf(phase), foreign.Metadata)
        {
            Warnings = fit!.DescribeUnexpected() is { } surplus ? [$"{foreign.File}: {surplus}"] : [],
            Optimisers = optimisers,
        };
    }

    /// <summary>Its content for another program: the networks and their optimisers.</summary>
    public ForeignCheckpoint Content => field ??= ForeignCheckpoint.From(
        _source, _model.State, _model.Network.ParameterNames, _phase, Math.Max(0, _epochs - _phase.EpochsBefore), _metadata);

    /// <summary>Writes it.</summary>
    /// <param name="target">The file.</param>
    /// <param name="format">Its format.</param>
    /// <exception cref="UsageException">The state contains NaN or infinite values, and the format is native.</exception>
    public void Write(string target, CheckpointFormat format)
    {
        if (format != CheckpointFormat.Native)
        {
            Content.Write(target, format);
            return;
        }

        StateTree state = _model.State;
        if (NonFinite.FindIn(state) is { } broken)
        {
            throw new UsageException(
                $"{_source} contains NaN or infinite values ({broken}): its training diverged and cannot be resumed");
        }

        // Phase I epochs precede those of phase II, even if the file does not say how many there were.
        Checkpoint.Write(target, _settings, _phase, state, Math.Max(_epochs, _phase.EpochsBefore));
    }

    public void Dispose() => _model.Dispose();

    /// <summary>The phase's model with a state from a file; class weights are placeholders, as they come from the data set.</summary>
    private static RunModel Restored(TrainingPhase phase, Action<RunModel> restore)
    {
        RunModel model = RunModel.Build(
            phase, [.. Enumerable.Repeat(1L, DatasetShape.For(phase.Settings.Data).Classes)], CPU, ProcessGroup.SingleProcess);
        try
        {
            restore(model);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }
}

/// <summary>How much of the optimisers' state a file has.</summary>
/// <param name="Momentum">Parameters of θ with a momentum buffer in the file.</param>
/// <param name="Parameters">Parameters of θ.</param>
/// <param name="Moments">Parameters of Θ with Adam's moments in the file.</param>
/// <param name="Learned">Parameters of Θ.</param>
internal readonly record struct OptimiserFit(int Momentum, int Parameters, int Moments, int Learned);
