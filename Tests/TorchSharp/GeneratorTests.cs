namespace Imta.MetaWeight.Tests.TorchSharp;

public sealed class GeneratorTests
{
    [Fact]
    public void The_same_seed_gives_the_same_numbers()
    {
        Draw(5).Should().Equal(Draw(5));
        Draw(5).Should().NotEqual(Draw(6));
    }

    [Fact]
    public void A_generator_that_is_seeded_again_starts_again()
    {
        using var generator = new Generator(5);
        double[] first = Draw(generator);
        double[] second = Draw(generator);
        generator.manual_seed(5);

        second.Should().NotEqual(first);
        Draw(generator).Should().Equal(first);
        generator.initial_seed().Should().Be(5);
    }

    [Fact]
    public void Every_kind_of_number_comes_from_the_generator_that_is_given()
    {
        using DisposeScope scope = NewDisposeScope();
        using var one = new Generator(1);
        using var other = new Generator(1);
        Func<Generator, Tensor>[] draws =
        [
            generator => rand([8L], ScalarType.Float64, generator: generator),
            generator => randn([8L], ScalarType.Float64, generator: generator),
            generator => randint(0, 1000, [8L], generator: generator).@double(),
            generator => randperm(8, generator: generator).@double(),
            generator => empty([8L], ScalarType.Float64).uniform_(-1, 1, generator),
            generator => empty([8L], ScalarType.Float64).normal_(0, 1, generator),
        ];
        foreach (Func<Generator, Tensor> draw in draws)
        {
            // The process-wide generator is drawn from in between: it has no part in this.
            double[] first = draw(one).data<double>().ToArray();
            _ = rand([3L]);
            draw(other).data<double>().ToArray().Should().Equal(first);
        }
    }

    [Fact]
    public void Numbers_lie_where_they_should()
    {
        using DisposeScope scope = NewDisposeScope();
        using var generator = new Generator(1);

        randint(-3, 4, [1000L], generator: generator).data<long>().ToArray().Distinct().Order().Should().Equal(-3, -2, -1, 0, 1, 2, 3);
        randperm(50, generator: generator).data<long>().ToArray().Order().Should().Equal(Enumerable.Range(0, 50).Select(k => (long)k));
        rand([1000L], generator: generator).data<float>().ToArray().Should().OnlyContain(value => value >= 0 && value < 1);
        empty([1000L]).uniform_(-2, -1, generator).data<float>().ToArray().Should().OnlyContain(value => value >= -2 && value <= -1);
    }

    [Fact]
    public void A_disposed_generator_is_refused()
    {
        var generator = new Generator(1);
        generator.Dispose();
        generator.Dispose();
        Action draw = () => rand([1L], generator: generator);

        draw.Should().Throw<Exception>();
    }

    private static double[] Draw(ulong seed)
    {
        using var generator = new Generator(seed);
        return Draw(generator);
    }

    private static double[] Draw(Generator generator)
    {
        using Tensor numbers = rand([8L], ScalarType.Float64, generator: generator);
        return numbers.data<double>().ToArray();
    }
}
