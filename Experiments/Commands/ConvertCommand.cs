using System.CommandLine;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta convert IN OUT</c>: converts between native checkpoints, published checkpoints, state dicts and safetensors.</summary>
internal static class ConvertCommand
{
    private const string NativeExtension = ".pt";
    private const string SafetensorsExtension = ".safetensors";
    private const string OutArgument = "OUT";

    private static readonly string[] Published = [".pth.tar", ".pth"];
    private static readonly Argument<string> Source = new("IN")
    {
        Description = "A run folder, a checkpoint, a published PyTorch "
        + "checkpoint, a state dictionary or a safetensors file"
    };
    private static readonly Argument<string> Target = new("OUT")
    {
        Description = $"The output file: NAME{NativeExtension}, an imta "
        + $"checkpoint; NAME{Published[0]} or NAME{Published[1]}, the published layout, for torch.load; NAME{SafetensorsExtension}"
    };

    public static Command Build()
    {
        var command = new Command("convert", "Convert checkpoints to and from the published PyTorch layout and safetensors")
        {
            Source, Target, OutputFile.Force, ConfigurationArguments.ConfigOption, ConfigurationArguments.Set,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        string target = arguments.GetValue(Target)!;
        CheckName(target);
        string source = RunFolder.CheckpointOf(arguments.GetValue(Source)!);
        if (Path.GetFullPath(source) == Path.GetFullPath(target))
        {
            throw new UsageException($"OUT is the same file as IN, {source}; choose a different OUT");
        }

        OutputFile.Check(target, arguments, OutArgument);
        // OUT may be a run's checkpoint.
        using IDisposable? held = RunFolder.Containing(target)?.Acquire($"or choose another {OutArgument}");
        Settings? given = ConfigurationArguments.ReadConfigOption(arguments);
        ComputeDevice.Configure((given ?? new Settings()) with { Device = "cpu" });
        using DisposeScope scope = NewDisposeScope();
        if (ForeignFile.Open(source, configured: given is not null) is not { } foreign)
        {
            FromNative(source, target);
        }
        else if (given is not null)
        {
            FromForeign(foreign, given, target);
        }
        else if (!IsNative(target))
        {
            foreach (string omission in foreign.Omissions(published: !IsSafetensors(target)))
            {
                Console.Error.WriteLine($"warning: {source}: {omission}");
            }

            Write(foreign, target);
        }
        else
        {
            throw new UsageException(
                $"{source} is {foreign.Kind}, which does not contain the configuration that {target} needs; give --config CONFIG.yaml");
        }

        return 0;
    }

    private static void CheckName(string target)
    {
        if (!IsNative(target) && !IsSafetensors(target) && !Published.Any(end => target.EndsWith(end, StringComparison.Ordinal)))
        {
            throw new UsageException($"OUT is {Terminal.Sanitize(target)}, whose extension is not supported; use {NativeExtension}, "
                + $"{string.Join(", ", Published)} or {SafetensorsExtension}");
        }
    }

    private static bool IsNative(string target) => target.EndsWith(NativeExtension, StringComparison.Ordinal);

    private static bool IsSafetensors(string target) => target.EndsWith(SafetensorsExtension, StringComparison.Ordinal);

    private static void FromNative(string source, string target)
    {
        if (IsNative(target))
        {
            throw new UsageException($"{source} is already a checkpoint of imta train; copy it, or give OUT a different extension");
        }

        Checkpoint.CheckpointContent checkpoint = Checkpoint.Read(source);
        TrainingPhase phase = TrainingPhase.ForRun(checkpoint.Settings, checkpoint.Phase);
        using RunModel model = ModelOf(phase);
        checkpoint.Restore(model, source);
        if (checkpoint.MidEpochNote is { } inside)
        {
            Console.Error.WriteLine($"warning: {source} {inside}; its progress within the epoch is not converted");
        }

        if (ForeignCheckpoint.Unpublished(model.State) is { Length: > 0 } groups)
        {
            Console.Error.WriteLine(
                $"warning: {source}: its {string.Join(", ", groups)}, which only a checkpoint of imta train can hold, "
                    + (groups.Length == 1 ? "is left out" : "are left out"));
        }

        Write(source, model, checkpoint.Settings, phase, checkpoint.Epochs, new Dictionary<string, TorchValue>(), target);
    }

    private static void FromForeign(ForeignCheckpoint foreign, Settings settings, string target)
    {
        TrainingPhase phase = foreign.PhaseOf(settings);
        using RunModel model = ModelOf(phase);
        StateTree state = model.State;
        Dictionary<string, Tensor> own = ForeignCheckpoint.TensorsOf(state);
        foreign = foreign.For(own.Keys);
        var fit = StateFit.Compare(own, foreign.Tensors);
        ConsoleTable.Write(["tensors", ""], fit.Table());
        foreign.Restore(state);
        if (fit.DescribeUnexpected() is { } surplus)
        {
            Console.Error.WriteLine($"warning: {foreign.File}: {surplus}");
        }

        (int momentum, int moments) = PublishedOptimisers.Replace(state, model.Network.ParameterNames, foreign);
        model.LoadState(state);
        int learned = model.Weighting.Parameters.Count;
        string ofWeighting = learned > 0 ? FormattableString.Invariant($", Adam moments of {moments} of {learned}") : "";
        Console.WriteLine(FormattableString.Invariant(
            $"optimisers: momentum of {momentum} of {model.Network.Parameters.Count} parameters{ofWeighting}"));
        Write(foreign.File, model, settings, phase, foreign.EpochsOf(phase), foreign.Metadata, target);
    }

    /// <summary>The phase's model; class weights, which are derived from the data set, are not stored in a file.</summary>
    private static RunModel ModelOf(TrainingPhase phase)
        => RunModel.Build(
            phase, [.. Enumerable.Repeat(1L, DatasetShape.For(phase.Settings.Data).Classes)], CPU, ProcessGroup.SingleProcess);

    private static void Write(
        string source,
        RunModel model,
        Settings settings,
        TrainingPhase phase,
        int epochs,
        IReadOnlyDictionary<string, TorchValue> facts,
        string target)
    {
        StateTree state = model.State;
        int done = Math.Max(0, epochs - phase.EpochsBefore);
        var content = ForeignCheckpoint.From(source, state, model.Network.ParameterNames, phase, done, facts);
        if (IsNative(target))
        {
            if (NonFinite.FindIn(state) is { } broken)
            {
                throw new UsageException(
                    $"{source} contains NaN or infinite values ({broken}): its training diverged and cannot be resumed");
            }

            // Phase I epochs precede those of phase II, even if the file does not say how many there were.
            OutputFile.WrapErrors(
                target, () => Checkpoint.Write(target, settings, phase, state, Math.Max(epochs, phase.EpochsBefore)), OutArgument);
            Show(content, target);
        }
        else
        {
            Write(content, target);
        }
    }

    private static void Write(ForeignCheckpoint content, string target)
    {
        OutputFile.WrapErrors(target, () => Write(), OutArgument);
        Show(content, target);

        void Write()
        {
            if (IsSafetensors(target))
            {
                Safetensors.Write(target, content.Tensors);
            }
            else
            {
                content.WritePublished(target);
            }
        }
    }

    private static void Show(ForeignCheckpoint content, string target)
    {
        int weighting = content.WeightingTensors;
        string epochs = content.Epochs == 0 ? "from an unknown epoch" : FormattableString.Invariant($"from epoch {content.Epochs}");
        Console.WriteLine(
            FormattableString.Invariant($"{content.Tensors.Count - weighting:N0} tensors of the network and {weighting:N0} of the ")
            + $"weight-prediction network, {epochs}, written to {target}");
    }
}
