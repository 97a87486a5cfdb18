using System.CommandLine;
using System.Runtime.InteropServices;
using Imta.MetaWeight.Experiments;
using Imta.MetaWeight.Experiments.Commands;
using Imta.MetaWeight.Experiments.Training;

const int Failed = 1;

var root = new RootCommand("imta: multi-exit networks with learned sample weights")
{
    TrainCommand.Build(), SweepCommand.Build(), EvalCommand.Build(), CalibrateCommand.Build(), InferCommand.Build(), ConvertCommand.Build(), ReportCommand.Build(), DataCommand.Build(), ConfigCommand.Build(), CostCommand.Build(), VerifyCommand.Build(), DoctorCommand.Build(), BenchCommand.Build(),
};
ParseResult arguments = root.Parse(args);
if (arguments.Errors.Count > 0)
{
    // The last error is the command's own, where there is one; the parser's before it follow from the same mistake.
    string? option = arguments.UnmatchedTokens.FirstOrDefault(token => token.StartsWith('-'));
    Console.Error.WriteLine($"imta: {(option is null ? arguments.Errors[^1].Message : $"There is no option {option}.")} See imta --help.");
    return UsageException.ExitCode;
}

try
{
    return arguments.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
}
catch (OperationCanceledException)
{
    Console.Error.WriteLine("imta: stopped");
    return Interruption.ExitCode;
}
catch (UsageException e)
{
    Console.Error.WriteLine($"imta: {e.Message}");
    return UsageException.ExitCode;
}
catch (NonFiniteException e)
{
    Console.Error.WriteLine($"imta: {e.Message}");
    return Failed;
}
catch (Exception e) when (e is IOException or UnauthorizedAccessException or ExternalException or OutOfMemoryException)
{
    Console.Error.WriteLine($"imta: {e.Message.ReplaceLineEndings(" ")}");
    return Failed;
}
catch (Exception e)
{
    Console.Error.WriteLine($"imta: a fault of the program, {e.GetType().Name}: {e.Message.ReplaceLineEndings(" ")} (a run's log.txt says where)");
    return Failed;
}
