namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>How a quantity compares with its reference values.</summary>
internal enum Verdict
{
    Pass,

    Fail,

    /// <summary>Not implemented here.</summary>
    NotCovered,
}

/// <summary>One result line of <c>imta verify</c>.</summary>
/// <param name="Case">The golden file, and the case within it if it has several.</param>
/// <param name="Quantity">What was compared.</param>
/// <param name="Error">The largest relative error (or number of differences); null if not available.</param>
/// <param name="Tolerance">The largest accepted error; null if nothing was compared.</param>
/// <param name="Verdict">Whether it passes.</param>
/// <param name="Remark">A note for the user: why a case could not be compared.</param>
internal sealed record VerifiedQuantity(
    string Case, string Quantity, double? Error, double? Tolerance, Verdict Verdict, string? Remark = null)
{
    /// <summary>A compared quantity; NaN counts as a failure.</summary>
    public static VerifiedQuantity Compared(string golden, string quantity, double error, double tolerance)
        => new(golden, quantity, error, tolerance, error <= tolerance ? Verdict.Pass : Verdict.Fail);

    public static VerifiedQuantity NotCovered(string golden, string quantity, string remark)
        => new(golden, quantity, null, null, Verdict.NotCovered, remark);

    /// <summary>An aborted case.</summary>
    public static VerifiedQuantity Aborted(string golden, Exception e)
        => new(golden, "whole case", null, null, Verdict.Fail, Failure.Reason(e));
}

/// <summary>A golden case requires something that is not implemented here; the message says what.</summary>
internal sealed class NotCoveredException(string message) : Exception(message);
