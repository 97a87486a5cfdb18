using Imta.MetaWeight.Tests.Experiments;

namespace Imta.MetaWeight.Tests;

public sealed class TestSummaryTests : IDisposable
{
    private readonly TemporaryFolder _records = new();

    [Fact]
    public void It_counts_the_tests_of_all_records_and_says_why_some_were_skipped()
    {
        Record("first", ("Passed", ""), ("Passed", ""), ("NotExecuted", "set A &amp; B"), ("NotExecuted", "no\nGPU"));
        Record("second", ("Passed", ""), ("NotExecuted", "set A &amp; B"));

        Summary(0).Should().Be((0, "skipped 1: no GPU\nskipped 2: set A & B\n3 passed, 0 failed, 3 skipped\n"));
    }

    [Fact]
    public void A_failed_test_is_counted_and_ends_with_the_runs_exit_code()
    {
        Record("first", ("Passed", ""), ("Failed", "Expected 1 to be 2"));

        Summary(1).Should().Be((1, "1 passed, 1 failed, 0 skipped\n"));
    }

    [Theory]
    [InlineData(true, "1 passed, 1 failed, 0 skipped\n")]
    [InlineData(false, "0 passed, 1 failed, 0 skipped\n")]
    public void A_run_that_breaks_off_counts_as_a_failure(bool recorded, string last)
    {
        if (recorded)
        {
            Record("first", ("Passed", ""));
        }

        Summary(3).Should().Be((3, "the test run itself failed (see above): counted as one\n" + last));
    }

    [Fact]
    public void A_filter_that_no_test_matches_is_a_failure()
    {
        Record("first");

        Summary(0).Should().Be((1, "no test has run\n0 passed, 0 failed, 0 skipped\n"));
    }

    [Fact]
    public void There_is_nothing_to_sum_up_where_no_test_was_to_run() => Summary(0).Should().Be((0, ""));

    public void Dispose() => _records.Dispose();

    private (int ExitCode, string Output) Summary(int exitCode)
    {
        using var output = new StringWriter();
        return (TestSummary.Write(_records.Path, exitCode, output), output.ToString());
    }

    private void Record(string name, params (string Outcome, string Message)[] tests)
    {
        IEnumerable<string> results = tests.Select(test => $"""
                <UnitTestResult testName="a" outcome="{test.Outcome}" testListId="1">
                  <Output>
                    <ErrorInfo>
                      <Message>{test.Message}</Message>
                    </ErrorInfo>
                  </Output>
                </UnitTestResult>
            """);
        File.WriteAllText(_records.In(name + ".trx"), $"""
            <TestRun xmlns="http://microsoft.com/schemas/VisualStudio/TeamTest/2010">
              <Results>
            {string.Join('\n', results)}
              </Results>
            </TestRun>
            """);
    }
}
