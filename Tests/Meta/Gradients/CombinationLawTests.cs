using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Tests.Meta.Gradients;

/// <summary>What holds for the coefficients of each combination, whatever the gradients are.</summary>
public sealed class CombinationLawTests
{
    private const int Cases = 200;

    [Fact]
    public void Of_two_exits_neither_projected_gradient_is_against_the_other_exit() => Laws.HoldFor(Cases, random =>
    {
        double[,] gram = Gram(Gradients(random, exits: 2));

        double[,] projected = PcGrad.Projections(gram, Fixed(2));

        (Row(projected, 0)[0], Row(projected, 1)[1]).Should().Be((1, 1));
        Product(gram, Row(projected, 0), Unit(2, 1)).Should().BeGreaterThan(-1e-12 * (gram[0, 0] + gram[1, 1]));
        Product(gram, Row(projected, 1), Unit(2, 0)).Should().BeGreaterThan(-1e-12 * (gram[0, 0] + gram[1, 1]));
    });

    [Fact]
    public void Gradients_that_agree_are_not_projected() => Laws.HoldFor(Cases, random =>
    {
        double[][] gradients = Array.ConvertAll(Gradients(random), gradient => Array.ConvertAll(gradient, Math.Abs));

        double[,] projected = PcGrad.Projections(Gram(gradients), Fixed(gradients.Length));

        Enumerable.Range(0, gradients.Length).Should().OnlyContain(i => Row(projected, i).SequenceEqual(Unit(gradients.Length, i)));
    });

    [Fact]
    public void Without_a_distance_CAGrad_is_the_mean() => Laws.HoldFor(Cases, random =>
    {
        double[][] gradients = Gradients(random);

        CaGrad.Coefficients(Gram(gradients), new CaGradOptions { C = 0 }).Should().OnlyContain(a => a == 1.0 / gradients.Length);
        double[,] gram = Gram(gradients);
        double[] near = CaGrad.Coefficients(gram, new CaGradOptions { C = 1e-6 }), mean = [.. near.Select(_ => 1.0 / gradients.Length)];
        Norm(gram, Minus(near, mean)).Should().BeLessThan(1.1e-6 * Norm(gram, mean), "it is solved for any other, however small");
    });

    /// <summary>Which is its definition.</summary>
    [Fact]
    public void Nothing_as_near_to_the_mean_as_CAGrads_direction_has_a_larger_least_product() => Laws.HoldFor(Cases, random =>
    {
        double[,] gram = Gram(Gradients(random));
        int exits = gram.GetLength(0);
        double c = random.NextDouble() * 0.95;
        double[] direction = CaGrad.Coefficients(gram, new CaGradOptions { C = c }), mean = [.. Enumerable.Repeat(1.0 / exits, exits)];
        double radius = c * Norm(gram, mean), scale = Enumerable.Range(0, exits).Max(k => gram[k, k]);

        Norm(gram, Minus(direction, mean)).Should().BeApproximately(radius, 1e-7 * Math.Sqrt(scale));
        double least = Least(gram, direction);
        for (int other = 0; other < 50; other++)
        {
            double[] along = [.. Enumerable.Range(0, exits).Select(_ => Normal(random))];
            double length = radius * Math.Sqrt(random.NextDouble()) / Math.Max(Norm(gram, along), 1e-300);
            Least(gram, [.. mean.Zip(along, (a, b) => a + (length * b))]).Should().BeLessThan(least + (1e-9 * scale));
        }
    });

    [Fact]
    public void CAGrads_weights_are_those_of_gradients_a_million_times_smaller() => Laws.HoldFor(Cases, random =>
    {
        double[][] gradients = Gradients(random);
        double[] coefficients = CaGrad.Coefficients(Gram(gradients), new CaGradOptions());

        double[] ofSmall = CaGrad.Coefficients(Gram(Array.ConvertAll(gradients, one => Array.ConvertAll(one, x => 1e-6 * x))), new());

        ofSmall.Zip(coefficients).Should().OnlyContain(pair => Math.Abs(pair.First - pair.Second) <= 1e-7 * coefficients.Max());
    });

    [Fact]
    public void Every_exit_gains_alike_in_Nashs_bargain_and_the_direction_does_not_depend_on_the_scale_of_a_loss()
        => Laws.HoldFor(Cases, random =>
        {
            double[][] gradients = Gradients(random);
            double[] scales = [.. gradients.Select(_ => Math.Pow(10, (4 * random.NextDouble()) - 2))];
            double[][] scaled = [.. gradients.Zip(scales, (gradient, scale) => Array.ConvertAll(gradient, x => scale * x))];

            double[] alpha = NashMtl.Solve(Gram(gradients)), ofScaled = NashMtl.Solve(Gram(scaled));

            double[,] gram = Gram(gradients);
            alpha.Should().OnlyContain(a => a > 0);
            Enumerable.Range(0, alpha.Length).Select(i => alpha[i] * Product(gram, alpha, Unit(alpha.Length, i)))
                .Should().OnlyContain(gain => Math.Abs(gain - 1) < 1e-9);
            Norm(gram, alpha).Should().BeApproximately(Math.Sqrt(alpha.Length), 1e-9);
            ofScaled.Zip(scales, (a, scale) => a * scale).Zip(alpha).Should()
                .OnlyContain(pair => Math.Abs(pair.First - pair.Second) <= 1e-8 * pair.Second);
        });

    /// <summary>Up to the scale that the papers give it: CAGrad's goes on along it by c, Nash-MTL's has the norm 1.</summary>
    [Fact]
    public void Of_one_exit_every_direction_is_its_gradient() => Laws.HoldFor(Cases, random =>
    {
        double[,] gram = Gram(Gradients(random, exits: 1));

        PcGrad.Projections(gram, Fixed(1))[0, 0].Should().Be(1);
        CaGrad.Coefficients(gram, new CaGradOptions { C = 0.5 })[0].Should().BeApproximately(1.5, 1e-12);
        CaGrad.Coefficients(gram, new CaGradOptions { C = 0.5, Rescale = CaGradRescale.OnePlusC })[0].Should().BeApproximately(1, 1e-12);
        (NashMtl.Solve(gram)[0] * Math.Sqrt(gram[0, 0])).Should().BeApproximately(1, 1e-12);
    });

    [Fact]
    public void Gradients_that_cancel_or_vanish_give_finite_coefficients()
    {
        double[][] opposite = [[1, 0], [-1, 0], [0, 1]];
        double[][] vanishing = [[1, 2], [0, 0], [0, 0]];
        double[][] none = [[0, 0], [0, 0]];
        double[][] centred = [[1, 0], [-2, 0]];

        foreach (double[,] gram in new[] { opposite, vanishing, none, centred }.Select(Gram))
        {
            double[] caGrad = CaGrad.Coefficients(gram, new CaGradOptions()), nash = NashMtl.Solve(gram);
            caGrad.Concat(nash).Concat(PcGrad.Projections(gram, Fixed(nash.Length)).Cast<double>()).Should()
                .OnlyContain(a => double.IsFinite(a));
            nash.Should().OnlyContain(a => a >= 0);
            Norm(gram, nash).Should().BeLessThan(Math.Sqrt(nash.Length) + 1e-6);
        }
    }

    /// <summary>K random gradients of 2 K numbers, of norms that differ by up to a factor of 100.</summary>
    private static double[][] Gradients(System.Random random, int? exits = null)
    {
        int count = exits ?? random.Next(2, 8);
        return
        [
            .. Enumerable.Range(0, count).Select(_ =>
            {
                double scale = Math.Pow(10, (2 * random.NextDouble()) - 1);
                return Enumerable.Range(0, 2 * count).Select(_ => scale * Normal(random)).ToArray();
            }),
        ];
    }

    private static double Normal(System.Random random)
        => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static double[,] Gram(double[][] gradients)
    {
        var gram = new double[gradients.Length, gradients.Length];
        for (int i = 0; i < gradients.Length; i++)
        {
            for (int j = 0; j < gradients.Length; j++)
            {
                gram[i, j] = gradients[i].Zip(gradients[j], (a, b) => a * b).Sum();
            }
        }

        return gram;
    }

    private static int[][] Fixed(int exits) => [.. Enumerable.Repeat(Enumerable.Range(0, exits).ToArray(), exits)];

    private static double[] Unit(int exits, int exit) => [.. Enumerable.Range(0, exits).Select(k => k == exit ? 1.0 : 0)];

    private static double[] Row(double[,] matrix, int row) => [.. Enumerable.Range(0, matrix.GetLength(1)).Select(k => matrix[row, k])];

    private static double[] Minus(double[] a, double[] b) => [.. a.Zip(b, (x, y) => x - y)];

    /// <summary>⟨Σ_k a_k g_k, Σ_k b_k g_k⟩.</summary>
    private static double Product(double[,] gram, double[] a, double[] b)
        => a.Select((own, i) => own * b.Select((other, j) => gram[i, j] * other).Sum()).Sum();

    private static double Norm(double[,] gram, double[] a) => Math.Sqrt(Math.Max(0, Product(gram, a, a)));

    private static double Least(double[,] gram, double[] direction)
        => Enumerable.Range(0, direction.Length).Min(k => Product(gram, direction, Unit(direction.Length, k)));
}
