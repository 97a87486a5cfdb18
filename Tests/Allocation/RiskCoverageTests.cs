using Imta.MetaWeight.Allocation;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Allocation;

/// <summary>
/// Whether guarantees hold: thresholds are chosen on many random calibration sets out of one set of images, and looked at on the others.
/// </summary>
public sealed class RiskCoverageTests(ITestOutputHelper output, RiskCoverageTests.Images images) : IClassFixture<RiskCoverageTests.Images>
{
    private const int Splits = 1000, Calibrating = 400;
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
    public void The_risk_of_other_images_is_controlled(string risk, RiskControlMethod method)
    {
        (double violations, double mean, double error, double index) = Repeat(risk, method, Images.All);

        index.Should().BeGreaterThan(1, "a guarantee that lets nothing leave early would hold too");
        if (method == RiskControlMethod.Crc)
        {
            mean.Should().BeLessThanOrEqualTo(Epsilon(risk) + (2 * error));
        }
        else
        {
            violations.Should().BeLessThanOrEqualTo(Delta + (2 * Math.Sqrt(Delta * (1 - Delta) / Splits)));
        }
    }

    /// <summary>Otherwise the test above might hold whatever is chosen.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void It_is_not_where_calibration_images_are_not_exchangeable_with_others(string risk, RiskControlMethod method)
    {
        (double violations, double mean, double error, _) = Repeat(risk, method, Images.Familiar);

        if (method == RiskControlMethod.Crc)
        {
            mean.Should().BeGreaterThan(Epsilon(risk) + (2 * error));
        }
        else
        {
            violations.Should().BeGreaterThan(Delta + (2 * Math.Sqrt(Delta * (1 - Delta) / Splits)));
        }
    }

    private static double Epsilon(string risk) => PartOfBound * ExitRisk.All.Single(one => one.Name == risk).Bound;

    /// <param name="risk">The risk.</param>
    /// <param name="method">The method.</param>
    /// <param name="candidates">The images from which the calibration sets are drawn: the first of the set.</param>
    private (double Violations, double Mean, double Error, double Index) Repeat(string risk, RiskControlMethod method, int candidates)
    {
        ExitRisk kind = ExitRisk.All.Single(one => one.Name == risk);
        var target = new RiskTarget(kind, Epsilon(risk), method == RiskControlMethod.Crc ? null : Delta, method);
        double[][] losses = images.Losses[kind];
        double[] sums = Array.ConvertAll(losses, of => of.Sum());
        int[] rows = [.. Enumerable.Range(0, candidates)];
        var random = new System.Random(7);
        var tested = new double[Splits];
        double index = 0;
        for (int split = 0; split < Splits; split++)
        {
            for (int i = 0; i < Calibrating; i++) // the first of a shuffled list
            {
                int other = random.Next(i, candidates);
                (rows[i], rows[other]) = (rows[other], rows[i]);
            }

            double[] Own(int at) => Array.ConvertAll(rows[..Calibrating], row => losses[at][row]);
            ControlledThreshold found = RiskControl.Choose(target, losses.Length, Own);
            tested[split] = (sums[found.Index] - Own(found.Index).Sum()) / (Images.All - Calibrating);
            index += (double)found.Index / Splits;
        }

        double mean = tested.Average(), violations = tested.Count(of => of > Epsilon(risk)) / (double)Splits;
        double error = Math.Sqrt(tested.Average(of => Math.Pow(of - mean, 2)) / Splits);
        output.WriteLine($"{risk}, {method}: mean risk {mean:0.0000} ± {error:0.0000}, violations {violations:0.000}, index {index:0.0}");
        return (violations, mean, error, index);
    }

    /// <summary>
    /// Answers of four exits in two classes, better at later ones: calibrated, but for images that are not familiar too confident before
    /// the last exit.
    /// </summary>
    public sealed class Images
    {
        public const int All = 8000, Familiar = All / 3;
        private const int Exits = 4, Steps = 100;

        public Images()
        {
            using DisposeScope scope = NewDisposeScope();
            using var generator = new Generator(11);
            Tensor quality = tensor(new[] { 0.3, 0.7, 1.1, 1.5 }); // [K]
            Tensor difficulty = rand([All, 1], float64, generator: generator);
            Tensor noise = randn([All, Exits], float64, generator: generator);
            Tensor confidence = quality.sub(difficulty).mul(Held(4)).add(noise.mul(Held(0.7))).sigmoid().mul(Held(0.5)).add(Held(0.5));
            Tensor shared = rand([All, 1], float64, generator: generator), own = rand([All, Exits], float64, generator: generator);
            Tensor isOwn = rand([All, Exits], float64, generator: generator).lt(Held(0.3));
            Tensor trust = full([All, Exits], Held(0.7), float64);
            trust.narrow(0, 0, Familiar).fill_(Held(1));
            trust.select(1, Exits - 1).fill_(Held(1));
            Tensor chance = confidence.sub(Held(0.5)).mul(trust).add(Held(0.5));
            Tensor correct = where(isOwn, own, shared).lt(chance); // [N, K]
            Tensor ofClass0 = where(correct, confidence, confidence.neg().add(Held(1)));
            Tensor probabilities = stack([ofClass0, ofClass0.neg().add(Held(1))], 2); // [N, K, 2]
            double[] grid = SharedThreshold.Grid(Steps);
            Losses = ExitRisk.All.ToDictionary(risk => risk, risk =>
            {
                var set = new SharedThreshold(confidence, risk.Losses(probabilities, zeros([All], int64)));
                return Array.ConvertAll(grid, set.LossesAt);
            });
        }

        /// <summary>Of each risk, by threshold and image.</summary>
        internal Dictionary<ExitRisk, double[][]> Losses { get; }
    }
}
