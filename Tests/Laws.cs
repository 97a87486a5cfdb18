using System.Globalization;
using FsCheck;
using FsCheck.Fluent;

namespace Imta.MetaWeight.Tests;

/// <summary>Runs random laws.</summary>
internal static class Laws
{
    /// <summary>The environment variable with the number of cases of every law, in place of each law's own.</summary>
    public const string Cases = "IMTA_LAW_CASES";

    /// <summary>Throws unless a law holds for random cases; the message has a counterexample and the seed that repeats it.</summary>
    /// <param name="law">The law.</param>
    /// <param name="cases">How many cases are tried.</param>
    public static void Hold(this Property law, int cases = 100)
        => law.Check(Config.QuickThrowOnFailure.WithMaxTest(
            Environment.GetEnvironmentVariable(Cases) is { Length: > 0 } given ? int.Parse(given, CultureInfo.InvariantCulture) : cases));

    /// <summary>Throws unless a law holds whatever it draws; the message has the seed of what it drew.</summary>
    /// <param name="cases">How many times it draws.</param>
    /// <param name="law">The law.</param>
    public static void HoldFor(int cases, Action<System.Random> law)
        => Prop.ForAll(Arb.From(Gen.Choose(0, int.MaxValue)), seed => law(new System.Random(seed))).Hold(cases);
}
