namespace Imta.MetaWeight.Tests.TorchSharp;

/// <summary>What the whole process shares, so that nothing else may run beside it: the global seed, the number of threads.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class ProcessWideTests
{
    [Fact]
    public void The_global_seed_decides_the_numbers_that_no_generator_was_given_for()
    {
        using DisposeScope scope = NewDisposeScope();
        manual_seed(3);
        float[] first = rand([8L]).data<float>().ToArray();
        float[] second = rand([8L]).data<float>().ToArray();
        manual_seed(3);

        rand([8L]).data<float>().ToArray().Should().Equal(first);
        second.Should().NotEqual(first);
    }

    [Fact]
    public void A_generator_of_its_own_does_not_hear_the_global_seed_and_does_not_change_its_numbers()
    {
        using DisposeScope scope = NewDisposeScope();
        using var alone = new Generator(5);
        using var disturbed = new Generator(5);
        float[] expected = rand([8L], generator: alone).data<float>().ToArray();
        manual_seed(3);
        float[] globally = rand([8L]).data<float>().ToArray();

        manual_seed(3);
        rand([8L], generator: disturbed).data<float>().ToArray().Should().Equal(expected);
        rand([8L]).data<float>().ToArray().Should().Equal(globally);
    }

    [Fact]
    public void The_number_of_threads_is_kept_and_nonsense_refused()
    {
        int before = get_num_threads();
        try
        {
            set_num_threads(1);
            get_num_threads().Should().Be(1);
            Action none = () => set_num_threads(0);
            none.Should().Throw<System.Runtime.InteropServices.ExternalException>().WithMessage("*positive number of threads*");
        }
        finally
        {
            set_num_threads(before);
        }
    }
}
