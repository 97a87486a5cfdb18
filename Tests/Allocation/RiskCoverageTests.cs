using Imta.MetaWeight.Allocation;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Allocation;

/// <summary>
/// Whether guarantees hold: thresholds are chosen on many random calibration sets out of one set of images, and looked at on all of them.
/// </summary>
public sealed class RiskCoverageTests(ITestOutputHelper output, RiskCoverageTests.Images images) : IClassFixture<RiskCoverageTests.Images>
{
    private const int Samples = 1000, Calibrating = 400, Steps = 100;
    private const double Delta = 0.1, PartOfBound = 0.05;

    public static TheoryData<string, RiskControlMethod> Cases
    {
        get
        {
            var cases = new TheoryData<string, RiskControlMethod>();
            foreach (ExitRisk risk in ExitRisk.All)
            {
                Array.ForEach(Enum.GetValues<RiskControlMethod>(), method => cases.Add(risk.Name, method));
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void The_risk_of_all_images_is_controlled(string risk, RiskControlMethod method)
    {
        RiskCoverage found = Measure(risk, method, images.All[risk]);

        found.Shares[^1].Should().BeLessThan(0.95, "a guarantee that lets nothing leave early would hold too");
        if (method == RiskControlMethod.Crc)
        {
            found.Risk.Should().BeLessThanOrEqualTo(Epsilon(risk) + (2 * found.Error));
        }
        else
        {
            found.Violations.Should().BeLessThanOrEqualTo(Delta + (2 * Math.Sqrt(Delta * (1 - Delta) / Samples)));
        }
    }

    /// <summary>Otherwise the test above might hold whatever is chosen.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void It_is_not_where_calibration_images_are_not_exchangeable_with_others(string risk, RiskControlMethod method)
    {
        RiskCoverage found = Measure(risk, method, images.Familiar[risk]);

        if (method == RiskControlMethod.Crc)
        {
            found.Risk.Should().BeGreaterThan(Epsilon(risk) + (2 * found.Error));
        }
        else
        {
            found.Violations.Should().BeGreaterThan(Delta + (2 * Math.Sqrt(Delta * (1 - Delta) / Samples)));
        }
    }

    private static double Epsilon(string risk) => PartOfBound * ExitRisk.All.Single(one => one.Name == risk).Bound;

    /// <param name="risk">The risk.</param>
    /// <param name="method">The method.</param>
    /// <param name="drawn">The images from which the calibration sets are drawn.</param>
    private RiskCoverage Measure(string risk, RiskControlMethod method, SharedThreshold drawn)
    {
        ExitRisk kind = ExitRisk.All.Single(one => one.Name == risk);
        var target = new RiskTarget(kind, Epsilon(risk), method == RiskControlMethod.Crc ? null : Delta, method);
        using var random = new Generator(7);
        RiskCoverage found = RiskCoverage.Measure(
            target, drawn, images.All[risk], SharedThreshold.Grid(Steps), Calibrating, Samples, random);
        output.WriteLine($"{risk}, {method}: mean risk {found.Risk:0.0000} ± {found.Error:0.0000}, violations {found.Violations:0.000}, "
            + $"{1 - found.Shares[^1]:0.000} leave early");
        return found;
    }

    /// <summary>
    /// Answers of four exits in two classes, better at later ones: calibrated, but for images that are not familiar too confident before
    /// the last exit.
    /// </summary>
    public sealed class Images
    {
        private const int Count = 8000, FamiliarCount = Count / 3, Exits = 4;

        public Images()
        {
            using DisposeScope scope = NewDisposeScope();
            using var generator = new Generator(11);
            Tensor quality = tensor(new[] { 0.3, 0.7, 1.1, 1.5 }); // [K]
            Tensor difficulty = rand([Count, 1], float64, generator: generator);
            Tensor noise = randn([Count, Exits], float64, generator: generator);
            Tensor confidence = quality.sub(difficulty).mul(Held(4)).add(noise.mul(Held(0.7)), One)
                .sigmoid().mul(Held(0.5)).add(Held(0.5), One);
            Tensor shared = rand([Count, 1], float64, generator: generator), own = rand([Count, Exits], float64, generator: generator);
            Tensor isOwn = rand([Count, Exits], float64, generator: generator).lt(Held(0.3));
            Tensor trust = full([Count, Exits], Held(0.7), float64);
            trust.narrow(0, 0, FamiliarCount).fill_(Held(1));
            trust.select(1, Exits - 1).fill_(Held(1));
            Tensor chance = confidence.sub(Held(0.5)).mul(trust).add(Held(0.5), One);
            Tensor correct = where(isOwn, own, shared).lt(chance); // [N, K]
            Tensor ofClass0 = where(correct, confidence, confidence.neg().add(Held(1), One));
            Tensor probabilities = stack([ofClass0, ofClass0.neg().add(Held(1), One)], 2); // [N, K, 2]
            All = ExitRisk.All.ToDictionary(risk => risk.Name, risk => Of(risk, Count));
            Familiar = ExitRisk.All.ToDictionary(risk => risk.Name, risk => Of(risk, FamiliarCount));

            SharedThreshold Of(ExitRisk risk, int first) => new(
                confidence.narrow(0, 0, first), risk.Losses(probabilities.narrow(0, 0, first), zeros([first], int64)));
        }

        /// <summary>By risk: the scores and losses of all images.</summary>
        internal Dictionary<string, SharedThreshold> All { get; }

        /// <summary>Those of the familiar ones.</summary>
        internal Dictionary<string, SharedThreshold> Familiar { get; }
    }
}
