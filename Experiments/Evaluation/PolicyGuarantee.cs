using Imta.MetaWeight.Allocation;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>
/// What a policy guarantees about images like those it was calibrated on: exchangeable with them if it holds in expectation, else drawn
/// independently from the same distribution.
/// </summary>
/// <param name="Risk">The <see cref="ExitRisk"/>.</param>
/// <param name="Epsilon">The risk is at most this …</param>
/// <param name="Delta">… with probability 1 − δ over calibration sets; null: in expectation over them.</param>
/// <param name="Method">The <see cref="RiskControlMethod"/>, in lower case.</param>
/// <param name="Threshold">λ: images leave above this score; null: none leaves early.</param>
/// <param name="Samples">The number of calibration images.</param>
/// <param name="EmpiricalRisk">The risk on them.</param>
/// <param name="Bound">The method's bound on the risk at this threshold alone, as if it had not been selected.</param>
internal sealed record PolicyGuarantee(
    string Risk, double Epsilon, double? Delta, string Method, double? Threshold, long Samples, double EmpiricalRisk, double Bound)
{
    /// <summary>The key in policy files.</summary>
    public const string Key = "guarantee";

    /// <summary>The names of all methods.</summary>
    public static IReadOnlyList<string> Methods => [.. Enum.GetValues<RiskControlMethod>().Select(NameOf)];

    /// <summary>The risk by its name; null: it is unknown.</summary>
    public static ExitRisk? Find(string name) => ExitRisk.All.FirstOrDefault(risk => risk.Name == name);

    /// <summary>A method's name in files and on the command line.</summary>
    public static string NameOf(RiskControlMethod method) => method.ToString().ToLowerInvariant();

    /// <summary>Reads the key of a policy file; null: it is not there.</summary>
    /// <exception cref="FormatException">It is invalid.</exception>
    public static PolicyGuarantee? Read(PolicySection keys)
    {
        if (!keys.Has(Key))
        {
            return null;
        }

        PolicyGuarantee guarantee = keys.Get<PolicyGuarantee>(
            Key, "risk, epsilon, delta, method, threshold, samples, empirical_risk and bound");
        Check("risk", guarantee.Risk, ExitRisk.All.Select(risk => risk.Name));
        Check("method", guarantee.Method, Methods);
        bool isExpected = guarantee.Method == NameOf(RiskControlMethod.Crc);
        return guarantee is { Epsilon: > 0, Samples: > 0, Delta: null or (> 0 and < 1) } && isExpected == guarantee.Delta is null
            ? guarantee
            : throw new FormatException(
                $"{Key} is invalid: expected epsilon > 0, samples > 0, and 0 < delta < 1 (null for {NameOf(RiskControlMethod.Crc)})");

        static void Check(string key, string name, IEnumerable<string> known)
            => _ = known.Contains(name) ? 0 : throw new FormatException($"{Key}.{key} is {name}; expected {string.Join(" or ", known)}");
    }

    /// <summary>The guarantee with its assumption, in words.</summary>
    public string Describe()
    {
        string meaning = Find(Risk)!.Meaning, method = Method.ToUpperInvariant();
        string claim = Delta is { } delta
            ? FormattableString.Invariant($"with probability {1 - (decimal)delta} over calibration sets, ")
                + FormattableString.Invariant($"the {meaning} is at most {Epsilon}")
            : FormattableString.Invariant($"the {meaning} is at most {Epsilon} in expectation over calibration sets");
        string reached = Threshold is null
            ? "no threshold was certified, so no image leaves early"
            : FormattableString.Invariant($"{EmpiricalRisk:0.0000} on {Samples:N0} images, bound {Bound:0.0000}");
        string images = Delta is null ? "exchangeable with" : "drawn like, and independently of,";
        return $"guarantee: {claim}, for images {images} those held out, which are balanced over classes ({method}: {reached})";
    }
}
