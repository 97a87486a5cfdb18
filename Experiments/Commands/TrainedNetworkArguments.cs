using System.CommandLine;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>How commands accept a trained network: a run or any checkpoint, plus its data set and device.</summary>
internal static class TrainedNetworkArguments
{
    public static readonly Argument<string> Source = new("RUN|CHECKPOINT")
    {
        Description = "A run folder, one of its checkpoints, or with "
        + "--config a published PyTorch checkpoint, a state dictionary or a safetensors file"
    };
    public static readonly Option<string?> Data = new("--data")
    {
        HelpName = "DIR",
        Description = "Folder of the data set's files; by "
        + "default the run's"
    };

    /// <summary>The largest batch size that a command accepts.</summary>
    public const int MaxBatchSize = 65_536;

    private static readonly Option<string?> DeviceOption
        = new("--device") { HelpName = "cpu|cuda", Description = "Device to compute on; default: the run's" };
    private static readonly Option<int?> Threads = NumberOption.Integer("--threads", "N", "CPU threads; 0: all cores; default: the run's");

    /// <summary>Adds the arguments to a command.</summary>
    public static Command Command(string name, string description, params Option[] more)
    {
        var command = new Command(name, description) { Source };
        Option[] options = [.. more, ConfigurationArguments.ConfigOption, ConfigurationArguments.Set, DeviceOption, Threads];
        foreach (Option option in options)
        {
            command.Add(option);
        }

        return command;
    }

    /// <summary>The network given on the command line.</summary>
    /// <param name="arguments">The arguments.</param>
    /// <param name="data">The value of the command's <c>--data</c>; null: not given.</param>
    /// <param name="exports">Whether <c>--set</c> may select the exported files even without <c>--config</c>.</param>
    /// <exception cref="UsageException">It cannot be loaded.</exception>
    public static TrainedNetwork Load(ParseResult arguments, string? data, bool exports = false)
    {
        string source = arguments.GetValue(Source)!;
        IReadOnlyList<SettingsOverride> changes = exports ? ConfigurationArguments.EvaluationExports(arguments) : [];
        Settings? config = changes.Count > 0 ? null : ConfigurationArguments.ReadConfigOption(arguments, data);
        IReadOnlyList<SettingsOverride> machine =
            SettingsOverride.ForMachine(arguments.GetValue(DeviceOption), arguments.GetValue(Threads), prefix: "--");
        TrainedNetwork network = TrainedNetwork.Load(source, config, [.. machine, .. changes]);
        if (network.Warning is { } warning)
        {
            Console.Error.WriteLine($"warning: {warning}");
        }

        return network;
    }

    /// <summary>Reads an exit policy for the network.</summary>
    /// <exception cref="UsageException">It cannot be read, or was calibrated for a different kind of network.</exception>
    public static PolicyFile Policy(string file, TrainedNetwork network)
    {
        PolicyFile policy = PolicyFile.Read(file, network);
        if (policy.CheckpointNote(file, network) is { } note)
        {
            Console.Error.WriteLine($"warning: {note}");
        }

        return policy;
    }

    /// <summary>The value of an option that accepts a positive integer.</summary>
    /// <exception cref="UsageException">It is out of range.</exception>
    public static int Integer(ParseResult arguments, Option<int> option, int most) => InRange(option, arguments.GetValue(option), most);

    /// <inheritdoc cref="Integer(ParseResult, Option{int}, int)"/>
    public static int? Integer(ParseResult arguments, Option<int?> option, int most)
        => arguments.GetValue(option) is { } value ? InRange(option, value, most) : null;

    private static int InRange(Option option, int value, int most)
    {
        return value >= 1 && value <= most
            ? value
            : throw new UsageException(FormattableString.Invariant($"{option.Name} is {value}; it must be an integer from 1 to {most}"));
    }

    /// <summary>The data set of the network's run.</summary>
    /// <exception cref="UsageException">It cannot be found.</exception>
    public static RunData LoadData(TrainedNetwork network, string? folder)
    {
        RunData data = DataSets.Load(network.Settings, folder);
        if (network.Run is { } run && run.HasDifferentData(data.Fingerprint))
        {
            Console.Error.WriteLine($"warning: the data set's files differ from those that {run.Path} started with; images held out here "
                + "may have been used for training");
        }

        foreach (string warning in data.Warnings)
        {
            Console.Error.WriteLine($"warning: {warning}");
        }

        return data;
    }
}
