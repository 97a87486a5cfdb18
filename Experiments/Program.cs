using System.CommandLine;
using System.CommandLine.Help;
using Imta.MetaWeight.Experiments.Commands;
using Imta.MetaWeight.Experiments.Training.Distributed;

Terminal.Prepare();
var root = new RootCommand("imta: multi-exit networks with learned sample weights")
{
    TrainCommand.Build(), SweepCommand.Build(), EvalCommand.Build(), CalibrateCommand.Build(), InferCommand.Build(), ConvertCommand.Build(), ReportCommand.Build(), DataCommand.Build(), ConfigCommand.Build(), CostCommand.Build(), VerifyCommand.Build(), DoctorCommand.Build(), BenchCommand.Build(),
};
ParseResult arguments = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null }); // values may begin with @
Action<string> say = arguments.CommandResult.Command.Name is "train" or "scale" ? RankRunner.ReportError : Failure.WriteError;
if (arguments.Errors.Count > 0)
{
    // The last error is the command's own, where there is one; the parser's before it follow from the same mistake.
    string? option = arguments.UnmatchedTokens.FirstOrDefault(token => token.StartsWith('-'));
    return Failure.Report(
        new UsageException($"{(option is null ? arguments.Errors[^1].Message : $"Unknown option {option}.")} See imta --help."), say);
}

try
{
    if (arguments.Action is not HelpAction && arguments.CommandResult.Command is not (RootCommand or { Name: "config" or "report" or "sweep" or "doctor" }))
    {
        Libtorch.Load(); // before anything of TorchSharp
    }

    return arguments.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
}
catch (Exception e)
{
    return Failure.Report(e, say);
}
