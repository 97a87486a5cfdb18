using System.CommandLine;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>The options of <c>imta calibrate</c> that bound a risk.</summary>
internal static class RiskArguments
{
    private const int MaxSimulations = 1_000_000;

    private static readonly Option<double?> Risk = NumberOption.Double(
        "--risk", "E", "Maximum risk of leaving early, such as 0.05; uses the lowest certified threshold, the same for all exits");

    private static readonly Option<double?> Delta = NumberOption.Double(
        "--delta", "D", "With --risk: bound the risk with probability 1 - D over calibration sets, such as 0.1; default: in expectation");

    private static readonly Option<string?> Loss = new("--loss")
    {
        HelpName = string.Join('|', ExitRisk.All.Select(risk => risk.Name)),
        Description = "With --risk: which risk, compared with the last exit; default: gap, the accuracy lost",
    };

    private static readonly Option<string?> Method = new("--method")
    {
        HelpName = string.Join('|', PolicyGuarantee.Methods),
        Description = "With --risk: conformal risk control (without --delta), upper confidence bounds (with --delta), Learn then Test",
    };

    private static readonly Option<int?> Simulations = NumberOption.Integer(
        "--simulate", "N", "With --risk: repeat the calibration on N random sets of test images, and report the risk on all test images");

    /// <summary>All of them.</summary>
    public static Option[] All => [Risk, Delta, Loss, Method, Simulations];

    /// <summary>How often to repeat the calibration on test images; null: not at all.</summary>
    /// <exception cref="UsageException">It is out of range.</exception>
    public static int? ParseSimulations(ParseResult arguments)
    {
        int? simulations = TrainedNetworkArguments.Integer(arguments, Simulations, MaxSimulations);
        return simulations is null || arguments.GetValue(Risk) is not null
            ? simulations
            : throw new UsageException("--simulate needs --risk, the maximum risk, such as --risk 0.05");
    }

    /// <summary>The requested guarantee; null: none.</summary>
    /// <exception cref="UsageException">The options contradict each other or are out of range.</exception>
    public static RiskTarget? Parse(ParseResult arguments)
    {
        (double? risk, double? delta) = (arguments.GetValue(Risk), arguments.GetValue(Delta));
        (string? loss, string? method) = (arguments.GetValue(Loss), arguments.GetValue(Method));
        if (risk is not { } epsilon)
        {
            (string Name, object? Value)[] others = [("--delta", delta), ("--loss", loss), ("--method", method)];
            return others.FirstOrDefault(option => option.Value is not null).Name is { } alone
                ? throw new UsageException($"{alone} needs --risk, the maximum risk, such as --risk 0.05")
                : null;
        }

        RequireFraction("--risk", epsilon);
        if (delta is { } probability)
        {
            RequireFraction("--delta", probability);
        }

        return new RiskTarget(
            loss is null ? ExitRisk.Gap : PolicyGuarantee.Find(loss) ?? throw Unknown("--loss", loss, ExitRisk.All.Select(one => one.Name)),
            epsilon,
            delta,
            ParseMethod(method, delta));
    }

    private static RiskControlMethod ParseMethod(string? name, double? delta)
    {
        RiskControlMethod usual = delta is null ? RiskControlMethod.Crc : RiskControlMethod.Ucb;
        RiskControlMethod[] known = Enum.GetValues<RiskControlMethod>();
        RiskControlMethod method = name is null ? usual
            : known.Select(one => (RiskControlMethod?)one).FirstOrDefault(one => PolicyGuarantee.NameOf(one!.Value) == name)
                ?? throw Unknown("--method", name, PolicyGuarantee.Methods);
        return (method == RiskControlMethod.Crc, delta) switch
        {
            (true, not null) => throw new UsageException(
                "--method crc bounds the risk in expectation, not with a probability; drop --delta, or use --method ucb or ltt"),
            (false, null) => throw new UsageException(
                $"--method {name} bounds the risk with probability 1 - D and needs --delta D, such as --delta 0.1"),
            _ => method,
        };
    }

    private static void RequireFraction(string option, double value)
    {
        if (!(value > 0 && value < 1))
        {
            throw new UsageException(FormattableString.Invariant($"{option} is {value}; it must be above 0 and below 1"));
        }
    }

    private static UsageException Unknown(string option, string given, IEnumerable<string> known)
        => new($"{option} is {Terminal.Sanitize(given)}; it must be {string.Join(" or ", known)}");
}
