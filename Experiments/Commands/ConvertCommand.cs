using System.CommandLine;
using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta convert IN OUT</c>: converts between native checkpoints, published checkpoints, state dicts and safetensors.</summary>
internal static class ConvertCommand
{
    private const string OutArgument = "OUT";

    private static readonly Argument<string> Source = new("IN")
    {
        Description = "A run folder, a checkpoint, a published PyTorch "
        + "checkpoint, a state dictionary or a safetensors file"
    };
    private static readonly Argument<string> Target = new(OutArgument)
    {
        Description = $"The output file: NAME{CheckpointFileNames.Native}, an imta "
        + $"checkpoint; NAME{CheckpointFileNames.Published[0]} or NAME{CheckpointFileNames.Published[1]}, the published layout, for "
        + $"torch.load; NAME{CheckpointFileNames.Safetensors}"
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
        CheckpointFormat format = CheckpointFileNames.FormatOf(target) ?? throw new UsageException(
            $"OUT is {Terminal.Sanitize(target)}, whose extension is not supported; use {CheckpointFileNames.Native}, "
            + $"{string.Join(", ", CheckpointFileNames.Published)} or {CheckpointFileNames.Safetensors}");
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
        switch (ForeignFile.Open(source, configured: given is not null))
        {
            case null when format == CheckpointFormat.Native:
                throw new UsageException($"{source} is already a checkpoint of imta train; copy it, or give OUT a different extension");
            case null:
                Write(CheckpointConversion.FromNative(source), target, format);
                break;
            case { } foreign when given is not null:
                Write(CheckpointConversion.FromForeign(foreign, given, Show), target, format);
                break;
            case { } foreign when format == CheckpointFormat.Native:
                throw new UsageException(
                    $"{source} is {foreign.Kind}, which does not contain the configuration that {target} needs; give --config CONFIG.yaml");
            case { } foreign:
                Warn(foreign.Omissions(published: format == CheckpointFormat.Published).Select(omission => $"{source}: {omission}"));
                OutputFile.WrapErrors(target, () => foreign.Write(target, format), OutArgument);
                Show(foreign, target);
                break;
        }

        return 0;
    }

    private static void Write(CheckpointConversion conversion, string target, CheckpointFormat format)
    {
        using (conversion)
        {
            Warn(conversion.Warnings);
            if (conversion.Optimisers is { } fit)
            {
                Show(fit);
            }

            OutputFile.WrapErrors(target, () => conversion.Write(target, format), OutArgument);
            Show(conversion.Content, target);
        }
    }

    private static void Warn(IEnumerable<string> warnings)
    {
        foreach (string warning in warnings)
        {
            Console.Error.WriteLine($"warning: {warning}");
        }
    }

    private static void Show(StateFit fit) => ConsoleTable.Write(["tensors", ""], fit.Table());

    private static void Show(OptimiserFit fit)
    {
        string ofWeighting = fit.Learned > 0 ? FormattableString.Invariant($", Adam moments of {fit.Moments} of {fit.Learned}") : "";
        Console.WriteLine(FormattableString.Invariant(
            $"optimisers: momentum of {fit.Momentum} of {fit.Parameters} parameters{ofWeighting}"));
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
