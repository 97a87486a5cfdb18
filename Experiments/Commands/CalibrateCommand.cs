using System.CommandLine;
using System.Globalization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta calibrate RUN --macs 30M | --shares … | --risk 0.05</c>: calibrates an exit policy on validation images.</summary>
internal static class CalibrateCommand
{
    private const string Accuracy = "accuracy";

    private static readonly Option<string?> Macs = new("--macs")
    {
        HelpName = "M",
        Description = "Maximum average multiply-adds per sample, such as 30M",
    };

    private static readonly Option<string?> Shares = new("--shares")
    {
        HelpName = "S1,…,SK",
        Description = "Share of samples at each exit, such as 25,25,0,0,50",
    };

    private static readonly Option<string?> Maximise = new("--maximise")
    {
        HelpName = Accuracy,
        Description = "With --macs: search for the thresholds with the best accuracy on the validation images, instead of geometric shares",
    };

    private static readonly Option<string> Criterion = new("--criterion")
    {
        HelpName = string.Join('|', ExitCriteria.All.Select(criterion => criterion.Name)),
        Description = "Confidence measure that decides when a sample exits",
        DefaultValueFactory = _ => ExitCriteria.All[0].Name,
    };

    private static readonly Option<string?> Out = new("--out")
    {
        HelpName = "P.json",
        Description = "Policy file; default: policy.json in the run folder, or FILE.policy.json next to a checkpoint",
    };

    public static Command Build()
    {
        Command command = TrainedNetworkArguments.Command(
            "calibrate",
            "Calibrate early-exit thresholds to a budget or a risk on the run's validation images",
            [Macs, Shares, Maximise, .. RiskArguments.All, Criterion, TrainedNetworkArguments.Data, Out, OutputFile.Force]);
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        RiskTarget? risk = RiskArguments.Parse(arguments);
        int? simulations = RiskArguments.ParseSimulations(arguments);
        (double? macs, float[]? shares) = Budget(arguments, risk);
        using var stop = new StopSignal();
        IExitCriterion criterion = ParseCriterion(arguments.GetValue(Criterion)!);
        using DisposeScope scope = NewDisposeScope();
        using TrainedNetwork network = TrainedNetworkArguments.Load(arguments, arguments.GetValue(TrainedNetworkArguments.Data));
        CheckAgainst(network, macs, shares);
        string file = PolicyPath(arguments, network);
        string folder = Path.GetDirectoryName(file) is { Length: > 0 } beside ? beside : ".";
        OutputFile.Check(file, arguments);
        OutputFile.WriteTo(folder, () => { });
        using RunData data = TrainedNetworkArguments.LoadData(network, arguments.GetValue(TrainedNetworkArguments.Data));
        if (data.Validation.Count == 0)
        {
            throw new UsageException(
                "the run has no validation images (data.validation is 0) to calibrate thresholds on; train with data.validation > 0");
        }

        Predictions validation = network.Predict(data.Validation, data.Normalisation, criterion, stop.Token, risk: risk?.Risk);
        var calibration = new PolicyCalibration(network, validation, data.Normalisation, criterion);
        PolicyFile policy = (risk, shares) switch
        {
            ({ } target, _) => calibration.ForRisk(target),
            (_, { } given) => calibration.ForShares(given),
            _ => arguments.GetValue(Maximise) is null ? calibration.ForMacs(macs!.Value) : calibration.ForAccuracy(macs!.Value),
        };
        stop.Token.ThrowIfCancellationRequested();
        OutputFile.WriteTo(folder, () => policy.Write(file));
        if (policy.Guarantee is not null && Path.GetFileName(network.File) == Path.GetFileName(network.Run?.BestCheckpoint))
        {
            Console.Error.WriteLine(
                $"warning: {network.File} was selected on the validation images, so the stated guarantee does not hold; "
                + "use checkpoints/latest.pt");
        }

        Show(policy, file);
        if (simulations is { } repetitions)
        {
            Console.WriteLine(Simulate(risk!, repetitions, network, data, criterion, stop.Token));
        }

        return 0;
    }

    /// <summary>Repeats the calibration on samples of the test images, as large as the validation set; describes the outcome.</summary>
    private static string Simulate(
        RiskTarget target, int repetitions, TrainedNetwork network, RunData data, IExitCriterion criterion, CancellationToken stop)
    {
        Predictions test = network.Predict(data.Test, data.Normalisation, criterion, stop, risk: target.Risk);
        var images = new SharedThreshold(test.Scores, test.RiskLosses!);
        using Generator random = SeedSequence.Generator(network.Settings.Seed, SeedSequence.Coverage);
        RunMonitor monitor = RunMonitor.ForConsole();
        RiskCoverage? found = null;
        int done = 0, samples = data.Validation.Count;
        monitor.Track(repetitions, 0, () => found = RiskCoverage.Measure(
            target, images, images, SharedThreshold.FineGrid, samples, repetitions, random, Advance));
        double macs = found!.Shares.Zip(network.Macs, (share, cost) => share * cost).Sum() / network.Macs[^1];
        string guaranteed = target.Delta is { } delta
            ? FormattableString.Invariant($"above {target.Epsilon} for {100 * found.Violations:0.0} % of the sets ")
                + FormattableString.Invariant($"(guaranteed: at most {100 * delta:0.#} %)")
            : FormattableString.Invariant($"guaranteed: at most {target.Epsilon}");
        double early = 1 - found.Shares[^1];
        return FormattableString.Invariant($"simulated with {repetitions:N0} calibration sets of {samples:N0} images drawn from the ")
            + FormattableString.Invariant($"{images.Samples:N0} test images: mean risk on all test images {found.Risk:0.0000}, ")
            + FormattableString.Invariant($"{guaranteed}; ")
            + FormattableString.Invariant($"{100 * early:0.0} % leave early, with {100 * macs:0.0} % of the multiply-adds");

        void Advance()
        {
            stop.ThrowIfCancellationRequested();
            monitor.Advance($"set {++done}/{repetitions}");
        }
    }

    private static void CheckAgainst(TrainedNetwork network, double? macs, float[]? shares)
    {
        if (shares is not null && shares.Length != network.Network.Exits)
        {
            throw new UsageException(
                $"--shares has {shares.Length} numbers, but the network has {network.Network.Exits} exits; give one per exit");
        }

        if (macs < network.Macs[0])
        {
            throw new UsageException(FormattableString.Invariant(
                $"--macs is {macs}, less than a prediction at exit 1 costs: {network.Macs[0]:N0}; increase it"));
        }
    }

    private static (double? Macs, float[]? Shares) Budget(ParseResult arguments, RiskTarget? risk)
    {
        string? maximise = arguments.GetValue(Maximise);
        if (maximise is not (null or Accuracy))
        {
            throw new UsageException($"--maximise is {Terminal.Sanitize(maximise)}; it must be {Accuracy}");
        }

        return (arguments.GetValue(Macs), arguments.GetValue(Shares), risk is not null) switch
        {
            (null, { }, false) or (null, null, true) when maximise is not null
                => throw new UsageException("--maximise needs --macs, the budget within which thresholds are searched"),
            ({ } macs, null, false) => (ParseMacs(macs), null),
            (null, { } shares, false) => (null, ParseShares(shares)),
            (null, null, true) => (null, null),
            _ => throw new UsageException(
                "calibrate needs a budget: one of --macs (such as 30M), --shares (one number per exit, such as 25,25,0,0,50) and --risk "
                    + "(such as 0.05)"),
        };
    }

    private static double ParseMacs(string text)
    {
        double unit = char.ToUpperInvariant(text.LastOrDefault()) switch { 'K' => 1e3, 'M' => 1e6, 'G' => 1e9, _ => 1 };
        string number = unit == 1 ? text : text[..^1];
        double macs = Number(number) * unit;
        return macs > 0 && double.IsFinite(macs)
            ? macs
            : throw new UsageException(
                $"--macs is {Terminal.Sanitize(text)}; it must be a number of multiply-adds such as 30M, 30000000 or 0.03G");
    }

    private static float[] ParseShares(string text)
    {
        double[] numbers = [.. text.Split(',').Select(part => Number(part.Trim()))];
        double sum = numbers.Sum();
        return sum > 0 && double.IsFinite(sum)
            ? [.. numbers.Select(number => (float)(number / sum))]
            : throw new UsageException(
                $"--shares is {Terminal.Sanitize(text)}; it must list one number >= 0 per exit, not all 0, such as 25,25,0,0,50");
    }

    private static double Number(string text)
        => double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) ? value : double.NaN;

    private static IExitCriterion ParseCriterion(string name) => ExitCriteria.All.FirstOrDefault(criterion => criterion.Name == name)
        ?? throw new UsageException(
            $"--criterion is {Terminal.Sanitize(name)}; it must be {string.Join(" or ", ExitCriteria.All.Select(known => known.Name))}");

    private static string PolicyPath(ParseResult arguments, TrainedNetwork network)
    {
        string source = arguments.GetValue(TrainedNetworkArguments.Source)!;
        return arguments.GetValue(Out) ?? (Directory.Exists(source) ? new EvaluationFiles(source).Policy : $"{network.File}.policy.json");
    }

    private static void Show(PolicyFile policy, string file)
    {
        (PolicyValidation validation, var thresholds) = (policy.Validation!, (ThresholdPolicy)policy.Policy);
        ConsoleTable.Write(
            ["exit", "threshold", "share %", "multiply-adds"],
            [[.. thresholds.Thresholds.Select((threshold, k) => (string[])
                [
                    $"{k + 1}",
                    ThresholdPolicy.InFile(threshold)?.ToString("0.0000###", CultureInfo.InvariantCulture) ?? "none",
                    (100 * validation.Shares[k]).ToString("0.0", CultureInfo.InvariantCulture),
                    policy.Macs[k].ToString("N0", CultureInfo.InvariantCulture),
                ])]]);
        Console.WriteLine(FormattableString.Invariant(
            $"on {validation.Samples:N0} validation images: {policy.Describe(validation.Accuracy, validation.MeanMacs)}"));
        if (policy.Budget?.Search is { } search)
        {
            Console.WriteLine(FormattableString.Invariant(
                $"cross-fitted on halves of them: {100 * search.FittedAccuracy:0.0} % where fitted, {100 * search.OtherAccuracy:0.0} % on ")
                + FormattableString.Invariant($"the other half with {search.OtherMeanMacs:N0} multiply-adds; geometric shares ")
                + FormattableString.Invariant($"{100 * search.SharesFittedAccuracy:0.0} % and {100 * search.SharesOtherAccuracy:0.0} %"));
        }

        if (policy.Guarantee is { } guarantee)
        {
            Console.WriteLine(guarantee.Describe());
        }

        if (policy.TieNote() is { } note)
        {
            Console.Error.WriteLine($"note: {note}");
        }

        Console.WriteLine($"wrote the policy to {file}");
    }
}
