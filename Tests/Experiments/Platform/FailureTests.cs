using System.Reflection;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Platform;

namespace Imta.MetaWeight.Tests.Experiments.Platform;

/// <summary>What a failed command reports. To imta, these tests are a program that extends it.</summary>
public sealed class FailureTests
{
    [Fact]
    public void Failure_of_libtorch_in_an_extension_names_its_method_without_the_CPP_stack_trace()
        => Line(() => Add(torch.zeros(2), torch.zeros(3))).Should().MatchRegex(
            @"^FailureTests\.Add \(FailureTests\.cs, line \d+\) failed: The size of tensor a \(2\) must match the size of tensor b \(3\) "
            + "at non-singleton dimension 0$");

    [Fact]
    public void Failure_of_an_extension_names_the_method_as_written()
    {
        Line(() => Lambda(null)).Should().MatchRegex(Null("FailureTests.Lambda"));
        Line(() => Local(null)).Should().MatchRegex(Null("FailureTests.Local"));
        Line(() => _ = Iterator(null).Count()).Should().MatchRegex(Null("FailureTests.Iterator"));
        Line(() => _ = new Nested<int>(null)).Should().MatchRegex(Null("Nested's constructor"));
        Line(() => _ = new Nested<int>("").Longest(null)).Should().MatchRegex(Null("Nested.Longest"));
        Line(() => _ = ((IMeasured)new Nested<int>("")).Length(null)).Should().MatchRegex(Null("Nested.Length"));
        Line(() => _ = ((IMeasured)new Nested<int>("")).Lengths(null).Count()).Should().MatchRegex(Null("Nested.Lengths"));
        Line(() => _ = Nested<int>.OfType(null)).Should().MatchRegex(Null("Nested's static initialiser"));
        Line(() => _ = new Nested<int>("").OfInstance(null)).Should().MatchRegex(Null("Nested's constructor"));
    }

    [Fact]
    public void Failure_in_a_library_that_an_extension_calls_names_the_extension()
    {
        Line(() => First([])).Should().MatchRegex(
            @"^FailureTests\.First \(FailureTests\.cs, line \d+\) failed, InvalidOperationException: Sequence contains no elements$");
        Line(() => Shares(-1)).Should().MatchRegex(
            @"^FailureTests\.Shares \(FailureTests\.cs, line \d+\) failed, ArgumentOutOfRangeException: the exit shares need ");
    }

    [Fact]
    public void Internal_error_names_the_method_of_imta_and_the_log()
    {
        Exception failure = FluentActions.Invoking(() => typeof(ExitShares).GetMethod(nameof(ExitShares.FromQ))!.Invoke(null, [-1.0, 3]))
            .Should().Throw<TargetInvocationException>().Which.InnerException!;
        Failure.SetLog(failure, "run/log.txt");

        Report(failure).Should().MatchRegex(@"^internal error in ExitShares\.FromQ \(ExitShares\.cs, line \d+\), "
            + @"ArgumentOutOfRangeException: the exit shares need a positive q .* \(see run/log\.txt for the stack trace\)$");
    }

    [Fact]
    public void Failure_of_a_file_or_of_memory_is_its_message_alone()
    {
        Line(() => File.ReadAllText("no such file")).Should().MatchRegex("^Could not find file '.*no such file'\\.$");
        Line(() => _ = new byte[Array.MaxLength + 1]).Should().Be("Array dimensions exceeded supported range.");
        Report(new InvalidOperationException("never\nthrown")).Should().Be("internal error, InvalidOperationException: never thrown");
    }

    private static string Null(string method)
        => $@"^{method} \(FailureTests\.cs, line \d+\) failed, NullReferenceException: Object reference not set to .*\.$";

    private static string Line(Action failing) => Report(FluentActions.Invoking(failing).Should().Throw<Exception>().Which);

    private static string Report(Exception failure)
    {
        var lines = new List<string>();
        Failure.Report(failure, lines.Add).Should().Be(1);
        return lines.Should().ContainSingle().Which;
    }

    private static void Add(Tensor a, Tensor b) => a.add(b, One).Dispose();

    private static int Lambda(string? text) => Enumerable.Range(0, 1).Sum(_ => text!.Length);

    private static int Local(string? text)
    {
        return Inner();

        int Inner() => text!.Length;
    }

    private static IEnumerable<int> Iterator(string? text)
    {
        yield return text!.Length;
    }

    private static int First(int[] numbers) => numbers.First();

    private static float[] Shares(double q) => ExitShares.FromQ(q, 3);

    private interface IMeasured
    {
        int Length(string? other);

        IEnumerable<int> Lengths(string? other);
    }

    private sealed class Nested<T> : IMeasured
    {
        public static readonly Func<string?, int> OfType = text => text!.Length;

        public readonly Func<string?, int> OfInstance = text => text!.Length;

        private readonly int _length;

        public Nested(string? text) => _length = text!.Length;

        public int Longest(string? other) => Math.Max(_length, other!.Length);

        int IMeasured.Length(string? other) => _length + other!.Length;

        IEnumerable<int> IMeasured.Lengths(string? other)
        {
            yield return _length + other!.Length;
        }
    }
}
