using System.CommandLine;
using System.Globalization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta calibrate RUN --macs 30M | --shares …</c>: an exit policy by the held-out images.</summary>
internal static class CalibrateCommand
{
    private static readonly Option<string?> Macs = new("--macs") { HelpName = "M", Description = "Multiply-adds of a sample on average, at most, such as 30M" };
    private static readonly Option<string?> Shares = new("--shares") { HelpName = "S1,…,SK", Description = "How samples divide over the exits, such as 25,25,0,0,50" };
    private static readonly Option<string> Criterion = new("--criterion")
    {
        HelpName = string.Join('|', ExitCriteria.All.Select(criterion => criterion.Name)),
        Description = "By what samples leave early",
        DefaultValueFactory = _ => ExitCriteria.All[0].Name,
    };

    private static readonly Option<string?> Out = new("--out") { HelpName = "P.json", Description = "The policy's file; by default policy.json in the run's folder, for a checkpoint FILE.policy.json beside it" };

    public static Command Build()
    {
        Command command = TrainedNetworkArguments.Command(
            "calibrate", "Find the thresholds by which samples leave early, for a budget, by the run's held-out images", Macs, Shares, Criterion, TrainedNetworkArguments.Data, Out);
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        (double? macs, float[]? shares) = Wanted(arguments);
        using var stop = new Interruption();
        IExitCriterion criterion = CriterionOf(arguments.GetValue(Criterion)!);
        using DisposeScope scope = NewDisposeScope();
        using TrainedNetwork network = TrainedNetworkArguments.Load(arguments);
        if (shares is not null && shares.Length != network.Network.Exits)
        {
            throw new UsageException($"--shares has {shares.Length} numbers, and the network {network.Network.Exits} exits; give one for each");
        }

        string file = FileOf(arguments, network);
        OutputFile.Check(file);
        using RunData data = TrainedNetworkArguments.Images(network, arguments.GetValue(TrainedNetworkArguments.Data));
        if (data.Validation.Count == 0)
        {
            throw new UsageException($"the run held no images out (data.validation 0), and thresholds are found on such images; train with data.validation above 0");
        }

        SetAnswers validation = SetAnswers.Of(network.Network, data.Validation, data.Normalisation, criterion, network.Device, stop.Token);
        (ExitPolicy found, PolicyBudget budget) = shares is null
            ? ForMacs(criterion, validation, network, macs!.Value)
            : (Calibration.ToShares(criterion, validation.Scores, shares), new PolicyBudget(null, null, shares));
        PolicyFile policy = PolicyFile.Of(found, budget, validation, network, data.Normalisation);
        OutputFile.Guarded(file, () => policy.Write(file));
        Show(policy, file);
        return 0;
    }

    private static (double? Macs, float[]? Shares) Wanted(ParseResult arguments) => (arguments.GetValue(Macs), arguments.GetValue(Shares)) switch
    {
        ({ } macs, null) => (MacsOf(macs), null),
        (null, { } shares) => (null, SharesOf(shares)),
        _ => throw new UsageException("calibrate takes a budget, either --macs (such as 30M) or --shares (one number for each exit, such as 25,25,0,0,50)"),
    };

    private static double MacsOf(string text)
    {
        double unit = char.ToUpperInvariant(text.LastOrDefault()) switch { 'K' => 1e3, 'M' => 1e6, 'G' => 1e9, _ => 1 };
        string number = unit == 1 ? text : text[..^1];
        return double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value > 0 && double.IsFinite(value * unit)
            ? value * unit
            : throw new UsageException($"--macs is {Terminal.OneLine(text)}; it takes a number of multiply-adds such as 30M, 30000000 or 0.03G");
    }

    private static float[] SharesOf(string text)
    {
        double[] numbers = [.. text.Split(',').Select(part => double.TryParse(part.Trim(), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) ? value : double.NaN)];
        double sum = numbers.Sum();
        return sum > 0 && double.IsFinite(sum)
            ? [.. numbers.Select(number => (float)(number / sum))]
            : throw new UsageException($"--shares is {Terminal.OneLine(text)}; it takes a number >= 0 for each exit, not all 0, such as 25,25,0,0,50");
    }

    private static IExitCriterion CriterionOf(string name) => ExitCriteria.All.FirstOrDefault(criterion => criterion.Name == name)
        ?? throw new UsageException($"--criterion is {Terminal.OneLine(name)}; there is {string.Join(" and ", ExitCriteria.All.Select(criterion => criterion.Name))}");

    private static (ExitPolicy Policy, PolicyBudget Budget) ForMacs(IExitCriterion criterion, SetAnswers validation, TrainedNetwork network, double macs)
    {
        try
        {
            (int[] quotas, double? q) = Calibration.QuotasForMacs(validation.Scores, network.Macs, macs);
            float[] shares = Array.ConvertAll(quotas, quota => (float)quota / validation.Set.Count);
            return (Calibration.ToQuotas(criterion, validation.Scores, quotas), new PolicyBudget(macs, q, shares));
        }
        catch (ArgumentOutOfRangeException)
        {
            throw new UsageException(FormattableString.Invariant($"--macs is {macs}, less than an answer of exit 1 takes: {network.Macs[0]:N0}; give more"));
        }
    }

    private static string FileOf(ParseResult arguments, TrainedNetwork network)
    {
        string source = arguments.GetValue(TrainedNetworkArguments.Source)!;
        return arguments.GetValue(Out) ?? (Directory.Exists(source) ? new TestFiles(source).Policy : $"{network.File}.policy.json");
    }

    private static void Show(PolicyFile policy, string file)
    {
        PolicyValidation validation = policy.Validation;
        ConsoleTable.Write(
            ["exit", "threshold", "share %", "multiply-adds"],
            [[.. policy.Thresholds.Select((threshold, k) => (string[])
                [$"{k + 1}", threshold?.ToString("0.0000", CultureInfo.InvariantCulture) ?? "nobody", (100 * validation.Shares[k]).ToString("0.0", CultureInfo.InvariantCulture), policy.Macs[k].ToString("N0", CultureInfo.InvariantCulture)])]]);
        Console.WriteLine(FormattableString.Invariant($"on {validation.Samples:N0} held-out images: {100 * validation.Accuracy:0.0} % right, {validation.MeanMacs:N0} multiply-adds on average, {validation.MeanMacs / policy.Macs[^1]:0.00} of the last exit's"));
        Console.WriteLine($"the policy is in {file}");
    }
}
