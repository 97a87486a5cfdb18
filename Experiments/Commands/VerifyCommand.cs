using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta.Gradients;
using Spectre.Console;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta verify DIR</c>: whether this build, on this machine, reproduces the results of the published implementations.</summary>
internal static class VerifyCommand
{
    private const int Failed = 1;
    private const int OutputWidth = 1000; // otherwise lines would be wrapped without a terminal

    private static readonly Argument<string> Folder = new("DIR")
    {
        Description = "Folder of reference values, such as Tests/Golden in the "
        + "source tree"
    };
    private static readonly Option<bool> Json = new("--json")
    {
        Description = "Print an array of {case, quantity, error, tolerance, "
        + "verdict}"
    };
    private static readonly Option<bool> Strict = new("--strict") { Description = "Treat quantities that are not covered as failures" };
    private static readonly Option<string> DeviceOption = new("--device")
    {
        HelpName = "cpu|cuda",
        Description = "Device to compute on",
        DefaultValueFactory = _ => "cpu",
    };
    private static readonly Option<string> Gradient = new("--gradient")
    {
        HelpName = Methods,
        Description = "Method that computes the meta gradient",
        DefaultValueFactory = _ => SettingsSchema.Find("meta.gradient")!.Default,
    };
    private static readonly JsonSerializerOptions Format = new() { WriteIndented = true };

    private static string Methods => string.Join('|', Enum.GetNames<MetaGradientMethod>().Select(SettingsSchema.YamlName));

    public static Command Build()
    {
        var command = new Command(
            "verify",
            "Compare this build with values computed by the published implementations") { Folder, Json, Strict, DeviceOption, Gradient };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        var settings = SettingsLoader.Parse("", "the command line",
        [
            new SettingsOverride("--device", "device", arguments.GetValue(DeviceOption)!),
            new SettingsOverride("--gradient", "meta.gradient", arguments.GetValue(Gradient)!),
            new SettingsOverride("imta verify", "threads", "1"), // small tensors, for which more threads cost more than they save
        ]);
        string folder = arguments.GetValue(Folder)!;
        var verifier = new Verifier(settings.Meta.Gradient, ComputeDevice.Configure(settings));
        IReadOnlyList<string> files = verifier.Find(folder);
        bool strict = arguments.GetValue(Strict);
        bool json = arguments.GetValue(Json);
        AnsiConsole.Profile.Width = OutputWidth;
        if (!json)
        {
            Console.WriteLine(Line("case", "quantity", "error", "tolerance", "verdict"));
        }

        var all = new List<VerifiedQuantity>();
        foreach (string file in files)
        {
            foreach (VerifiedQuantity quantity in verifier.Run(file, folder))
            {
                all.Add(quantity);
                Show(quantity, json, strict);
            }
        }

        if (json)
        {
            Console.WriteLine(JsonSerializer.Serialize(all.Select(Entry), Format));
        }
        else
        {
            Console.WriteLine(
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"{Count(Verdict.Pass)} passed, {Count(Verdict.Fail)} failed, {Count(Verdict.NotCovered)} not covered"));
        }

        return Count(Verdict.Fail) > 0 || (strict && Count(Verdict.NotCovered) > 0) ? Failed : 0;

        int Count(Verdict verdict) => all.Count(quantity => quantity.Verdict == verdict);
    }

    private static void Show(VerifiedQuantity quantity, bool json, bool strict)
    {
        if (!json)
        {
            string line = Line(
                quantity.Case, quantity.Quantity, Number(quantity.Error), Number(quantity.Tolerance), VerdictText(quantity.Verdict));
            AnsiConsole.WriteLine(line, quantity.Verdict switch
            {
                Verdict.Fail => new Style(Color.Red),
                Verdict.NotCovered => new Style(Color.Grey),
                _ => Style.Plain,
            });
        }

        if (quantity.Remark is { } remark && (quantity.Verdict == Verdict.Fail || strict))
        {
            bool isNamed = remark.Contains(Path.GetFileName(quantity.Case), StringComparison.Ordinal);
            Failure.WriteError(isNamed ? remark : $"{quantity.Case}: {remark}");
        }
    }

    private static string Line(string name, string quantity, string error, string tolerance, string verdict)
        => $"{name,-43} {quantity,-34} {error,9} {tolerance,9}  {verdict}";

    private static string Number(double? value) => value switch
    {
        null => "-",
        0 => "0",
        _ => value.Value.ToString("0.0e-00", CultureInfo.InvariantCulture),
    };

    private static string VerdictText(Verdict verdict) => verdict switch
    {
        Verdict.Pass => "pass",
        Verdict.Fail => "fail",
        _ => "not covered",
    };

    /// <summary>JSON has no NaN or infinity: such an error is null, with verdict fail.</summary>
    private static object Entry(VerifiedQuantity quantity) => new
    {
        @case = quantity.Case,
        quantity = quantity.Quantity,
        error = quantity.Error is { } error && double.IsFinite(error) ? quantity.Error : null,
        tolerance = quantity.Tolerance,
        verdict = VerdictText(quantity.Verdict),
    };
}
