using System.Globalization;
using System.Xml.Linq;
using Imta.MetaWeight.Experiments.Reports;

namespace Imta.MetaWeight.Tests;

/// <summary>The last lines of <c>./test</c>: why tests were skipped, and how many passed, failed and were skipped.</summary>
internal static class TestSummary
{
    /// <summary>Asks this assembly, as a program, for it; the next arguments are the records' folder and dotnet test's exit code.</summary>
    public const string Command = "summary";

    /// <summary>Writes it.</summary>
    /// <param name="folder">Of dotnet test's records, <c>*.trx</c>.</param>
    /// <param name="exitCode">Of dotnet test; a run that broke off without a failed test counts as one.</param>
    /// <param name="output">Takes the lines.</param>
    /// <returns>The exit code of the whole: dotnet test's, or 1 where no test has run.</returns>
    public static int Write(string folder, int exitCode, TextWriter output)
    {
        string[] records = Directory.Exists(folder) ? Directory.GetFiles(folder, "*.trx") : [];
        if (records.Length == 0 && exitCode == 0)
        {
            return 0; // dotnet test was asked for something else, such as --list-tests
        }

        XElement[] tests = [.. records.SelectMany(file => XDocument.Load(file).Descendants())
            .Where(element => element.Name.LocalName == "UnitTestResult")];
        XElement[] skipped = [.. tests.Where(test => Outcome(test) == "NotExecuted")];
        foreach (IGrouping<string, XElement> same in skipped.GroupBy(Reason).OrderBy(same => same.Key, StringComparer.Ordinal))
        {
            Say($"skipped {same.Count()}: {same.Key}");
        }

        int passed = tests.Count(test => Outcome(test) == "Passed"), failed = tests.Count(test => Outcome(test) == "Failed");
        if (exitCode != 0 && failed == 0)
        {
            Say($"the test run itself failed (see above): counted as one");
            failed = 1;
        }

        if (exitCode == 0 && tests.Length == 0)
        {
            Say($"no test has run");
            exitCode = 1;
        }

        Say($"{passed} passed, {failed} failed, {skipped.Length} skipped");
        return exitCode;

        void Say(FormattableString line) => output.Write(line.ToString(CultureInfo.InvariantCulture) + "\n");
    }

    private static string Outcome(XElement test) => (string?)test.Attribute("outcome") ?? "";

    private static string Reason(XElement test)
    {
        string text = test.Descendants().FirstOrDefault(element => element.Name.LocalName == "Message")?.Value ?? "no reason given";
        return string.Join(' ', text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
    }
}
