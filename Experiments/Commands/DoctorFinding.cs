namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>How a check ended.</summary>
internal enum DoctorVerdict
{
    /// <summary>As it should be.</summary>
    Ok,

    /// <summary>Something that only some need.</summary>
    Note,

    /// <summary>It works, but slowly, or not for every run.</summary>
    Warning,

    /// <summary>Nothing works without it.</summary>
    Missing,
}

/// <summary>What a check of the machine found.</summary>
/// <param name="Check">What was looked at.</param>
/// <param name="Verdict">How it ended.</param>
/// <param name="Found">What there is.</param>
/// <param name="Advice">What to do, where something is to be done.</param>
internal sealed record DoctorFinding(string Check, DoctorVerdict Verdict, string Found, string? Advice = null);
