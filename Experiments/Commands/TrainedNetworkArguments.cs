using System.CommandLine;
using System.CommandLine.Parsing;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>How commands take a network that was trained: a run or a checkpoint of any kind, its images, the machine.</summary>
internal static class TrainedNetworkArguments
{
    public static readonly Argument<string> Source = new("RUN|CHECKPOINT") { Description = "The folder of a run, one of its checkpoints, or with --config a published PyTorch checkpoint, a state dictionary or a safetensors file" };
    public static readonly Option<string?> Data = new("--data") { HelpName = "DIR", Description = "Folder of the data set's files; by default the run's" };

    /// <summary>The largest batch that a command takes.</summary>
    public const int LargestBatch = 65_536;

    private static readonly Option<string?> Place = new("--device") { HelpName = "cpu|cuda", Description = "Where to compute; by default where the run did" };
    private static readonly Option<int?> Threads = NumberOption.Whole("--threads", "N", "Threads of the CPU's computation; 0: all cores; by default the run's");

    /// <summary>A command that has them.</summary>
    public static Command Command(string name, string description, params Option[] more)
    {
        var command = new Command(name, description) { Source };
        foreach (Option option in (Option[])[.. more, ConfigurationArguments.Beside, ConfigurationArguments.Set, Place, Threads])
        {
            command.Add(option);
        }

        command.Validators.Add(result => Refuse(result, Source));
        return command;
    }

    /// <summary>Refuses empty arguments, and options that the parser does not know and takes for files.</summary>
    public static void Refuse(CommandResult result, params Argument<string>[] files)
    {
        if (files.Select(result.GetValue).FirstOrDefault(file => file?.StartsWith('-') == true) is { } unknown)
        {
            result.AddError($"There is no option {unknown}.");
        }
        else if (result.Children.Any(child => child.Tokens.Any(token => token.Value.Length == 0)))
        {
            result.AddError("An argument is empty.");
        }
    }

    /// <summary>The network of the command line.</summary>
    /// <exception cref="UsageException">There is none.</exception>
    public static TrainedNetwork Load(ParseResult arguments)
    {
        string source = arguments.GetValue(Source)!;
        TrainedNetwork network = TrainedNetwork.Load(source, ConfigurationArguments.ReadBeside(arguments), run => SettingsLoader.Parse(
            SettingsWriter.Write(run), source, [.. Set("--device", "device", arguments.GetValue(Place)), .. Set("--threads", "threads", arguments.GetValue(Threads))]));
        if (network.Warning is { } warning)
        {
            Console.Error.WriteLine($"warning: {warning}");
        }

        return network;
    }

    /// <summary>A policy for the network.</summary>
    /// <exception cref="UsageException">It cannot be read, or is for another kind of network.</exception>
    public static PolicyFile Policy(string file, TrainedNetwork network)
    {
        PolicyFile policy = PolicyFile.Read(file, network);
        if (policy.CheckpointSha256 != network.Hash())
        {
            Console.Error.WriteLine($"warning: {file} was calibrated for another checkpoint than {network.File}; shares and costs will be others than it says");
        }

        return policy;
    }

    /// <summary>The value of an option that takes a whole number from 1 on.</summary>
    /// <exception cref="UsageException">It is another.</exception>
    public static int WholeNumber(ParseResult arguments, Option<int> option, int most) => InRange(option, arguments.GetValue(option), most);

    /// <inheritdoc cref="WholeNumber(ParseResult, Option{int}, int)"/>
    public static int? WholeNumber(ParseResult arguments, Option<int?> option, int most) => arguments.GetValue(option) is { } value ? InRange(option, value, most) : null;

    private static int InRange(Option option, int value, int most)
    {
        return value >= 1 && value <= most ? value : throw new UsageException(FormattableString.Invariant($"{option.Name} is {value}; it takes a whole number >= 1 and <= {most}"));
    }

    /// <summary>The images of its run.</summary>
    /// <exception cref="UsageException">They are not there.</exception>
    public static RunData Images(TrainedNetwork network, string? folder)
    {
        RunData data = DataSets.Load(network.Settings, folder);
        if (network.Run is { } run && run.StartedWithOthers(data.Fingerprint))
        {
            Console.Error.WriteLine($"warning: the data set's files are others than when {run.Path} started; what is held out here may have been trained on");
        }

        foreach (string warning in data.Warnings)
        {
            Console.Error.WriteLine($"warning: {warning}");
        }

        return data;
    }

    private static IEnumerable<SettingsOverride> Set(string option, string key, object? value)
        => value is null ? [] : [new SettingsOverride(option, key, FormattableString.Invariant($"{value}"))];
}
