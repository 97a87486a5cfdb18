namespace Imta.MetaWeight.Experiments.Verification;

/// <summary>How a quantity stands to its golden numbers.</summary>
internal enum Verdict
{
    Pass,

    Fail,

    /// <summary>Nothing here computes it.</summary>
    NotCovered,
}

/// <summary>A line of <c>imta verify</c>.</summary>
/// <param name="Case">The golden file, and the part of it where it has several.</param>
/// <param name="Quantity">What was compared.</param>
/// <param name="Error">The largest relative error (or number of differences); null where there is none.</param>
/// <param name="Tolerance">The largest error that counts as equal; null where nothing was compared.</param>
/// <param name="Verdict">Whether it holds.</param>
/// <param name="Remark">For the user: why a case could not be compared.</param>
internal sealed record VerifiedQuantity(string Case, string Quantity, double? Error, double? Tolerance, Verdict Verdict, string? Remark = null)
{
    /// <summary>A quantity that was compared; NaN is no agreement.</summary>
    public static VerifiedQuantity Compared(string golden, string quantity, double error, double tolerance)
        => new(golden, quantity, error, tolerance, error <= tolerance ? Verdict.Pass : Verdict.Fail);

    public static VerifiedQuantity NotCovered(string golden, string quantity, string remark)
        => new(golden, quantity, null, null, Verdict.NotCovered, remark);

    /// <summary>A case that broke off.</summary>
    public static VerifiedQuantity BrokenOff(string golden, Exception e)
        => new(golden, "whole case", null, null, Verdict.Fail, $"{e.GetType().Name}: {e.Message.ReplaceLineEndings(" ")}");
}

/// <summary>A golden case asks for what nothing here computes; the message says what.</summary>
internal sealed class NotCoveredException(string message) : Exception(message);
