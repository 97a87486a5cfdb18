using System.CommandLine;
using System.CommandLine.Help;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Commands;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments;

/// <summary>What a program adds to <c>imta</c>: every command finds the additions by name, like the built-in ones.</summary>
public sealed record ImtaExtensions
{
    /// <summary>Further values of <c>model.backbone</c>, each with its group of options.</summary>
    public IReadOnlyList<Backbone> Backbones { get; init; } = [];

    /// <summary>Further values of <c>meta.weights</c>, each with its group of options.</summary>
    public IReadOnlyList<WeightingMethod> Weightings { get; init; } = [];

    /// <summary>Further values of <c>modifiers.combination</c>, each with its group of options.</summary>
    public IReadOnlyList<CombinationMethod> Combinations { get; init; } = [];

    /// <summary>Further columns at the end of <c>epochs.csv</c>.</summary>
    public IReadOnlyList<EpochColumn> Columns { get; init; } = [];

    /// <summary>Further kinds of exit policy: the reader of a kind's section of a policy file, by <see cref="IExitPolicy.Kind"/>.</summary>
    public IDictionary<string, Func<PolicySection, IExitPolicy>> ExitPolicies { get; }
        = new Dictionary<string, Func<PolicySection, IExitPolicy>>();
}

/// <summary>The <c>imta</c> command line, for programs that extend it.</summary>
public static class ImtaProgram
{
    /// <summary>
    /// Runs a command line to completion, once per process; processes that it starts, such as the runs of a sweep, run this program too.
    /// </summary>
    /// <param name="args">The arguments of <c>Main</c>.</param>
    /// <param name="extensions">What the program adds; null: nothing.</param>
    /// <returns>The exit code: 0, 1 if it failed, 2 after wrong input, 130 if it was stopped, 143 if by SIGTERM.</returns>
    /// <exception cref="ArgumentException">An extension has a name that is taken or cannot be one.</exception>
    public static int Run(string[] args, ImtaExtensions? extensions = null)
    {
        extensions ??= new ImtaExtensions();
        Register(extensions);
        IReadOnlyList<EpochColumn> columns = EpochColumn.DefaultsAnd(extensions.Columns);
        Terminal.Prepare();
        var root = new RootCommand("imta: multi-exit networks with learned sample weights")
        {
            TrainCommand.Build(columns), SweepCommand.Build(), EvalCommand.Build(), CalibrateCommand.Build(), InferCommand.Build(),
            ConvertCommand.Build(), ReportCommand.Build(), DataCommand.Build(), ConfigCommand.Build(), CostCommand.Build(),
            VerifyCommand.Build(), DoctorCommand.Build(), BenchCommand.Build(), CompletionCommand.Build(),
        };
        ParseResult arguments = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null }); // values may begin with @
        Action<string> report = arguments.CommandResult.Command.Name is "train" or "scale" ? RankRunner.ReportError : Failure.WriteError;
        bool isAsked = arguments.Action is HelpAction || root.Directives.Any(directive => arguments.GetResult(directive) is not null);
        if (!isAsked && UsageErrors.Find(arguments) is { } problem)
        {
            return Failure.Report(new UsageException(problem), report);
        }

        try
        {
            if (!isAsked && NeedsLibtorch(arguments.CommandResult.Command))
            {
                Libtorch.Load(); // before any use of TorchSharp
            }

            return arguments.Invoke(
                new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (Exception e)
        {
            return Failure.Report(e, report);
        }
    }

    /// <summary>
    /// Registers extensions without a command line, once per process, for a program that loads networks trained with them.
    /// </summary>
    /// <exception cref="ArgumentException">An extension has a name that is taken or cannot be one.</exception>
    public static void Register(ImtaExtensions extensions)
    {
        foreach (Backbone backbone in extensions.Backbones)
        {
            Registries.Backbones.Add(backbone);
        }

        foreach (WeightingMethod weighting in extensions.Weightings)
        {
            Registries.Weightings.Add(weighting);
        }

        foreach (CombinationMethod combination in extensions.Combinations)
        {
            Registries.Combinations.Add(combination);
        }

        foreach ((string kind, Func<PolicySection, IExitPolicy> read) in extensions.ExitPolicies)
        {
            ExitPolicies.Register(kind, read);
        }
    }

    private static bool NeedsLibtorch(Command command)
        => command is not (RootCommand or { Name: "config" or "report" or "sweep" or "doctor" or "completion" });
}
