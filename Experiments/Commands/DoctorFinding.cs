namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>The outcome of a check.</summary>
internal enum DoctorVerdict
{
    /// <summary>No problem.</summary>
    Ok,

    /// <summary>Missing, but optional.</summary>
    Note,

    /// <summary>Works, but slowly or not for every run.</summary>
    Warning,

    /// <summary>Nothing works without it.</summary>
    Missing,
}

/// <summary>The result of one check of the machine.</summary>
/// <param name="Check">The name of the check.</param>
/// <param name="Verdict">Its outcome.</param>
/// <param name="Found">What was found.</param>
/// <param name="Advice">What to do, if anything.</param>
internal sealed record DoctorFinding(string Check, DoctorVerdict Verdict, string Found, string? Advice = null);
