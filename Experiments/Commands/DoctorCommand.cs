using System.CommandLine;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Imta.MetaWeight.Experiments.Diagnosis;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta doctor [--json]</c>: checks what this machine provides and what is missing.</summary>
internal static class DoctorCommand
{
    private const int Failed = 1;

    private static readonly Option<bool> Json = new("--json")
    {
        Description = "Print an array of {check, verdict, found, advice} instead "
        + "of a table"
    };

    private static readonly JsonSerializerOptions Format = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase) },
    };

    public static Command Build()
    {
        var command = new Command(
            "doctor", "Check this machine (libtorch, threads, memory, devices) and explain how to install what is missing") { Json };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        TorchFacts torch = TorchFacts.Gather();
        IReadOnlyList<DoctorFinding> findings = Doctor.Examine(HostFacts.Gather(), torch, MpiFacts.Gather());
        if (arguments.GetValue(Json))
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(findings, Format));
        }
        else
        {
            Show(findings);
        }

        return findings.Any(finding => finding.Verdict == DoctorVerdict.Missing) ? Failed : 0;
    }

    private static void Show(IReadOnlyList<DoctorFinding> findings)
    {
        ConsoleTable.Write(["check", "verdict", "found"], [[.. findings.SelectMany(Rows)]]);
        int missing = findings.Count(finding => finding.Verdict == DoctorVerdict.Missing);
        int warnings = findings.Count(finding => finding.Verdict == DoctorVerdict.Warning);
        Console.Out.WriteLine((missing, warnings) switch
        {
            (0, 0) => "no problems found",
            (0, _) => $"nothing is missing; warnings: {warnings}",
            _ => $"missing: {missing}; imta train will not work",
        });
    }

    private static IEnumerable<string[]> Rows(DoctorFinding finding)
    {
        yield return [finding.Check, JsonNamingPolicy.CamelCase.ConvertName($"{finding.Verdict}"), finding.Found];
        if (finding.Advice is { } advice)
        {
            yield return ["", "", $"-> {advice}"];
        }
    }
}
