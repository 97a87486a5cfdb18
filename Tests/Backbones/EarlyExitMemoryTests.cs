using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Tests.Backbones;

/// <summary>Early-exit execution frees what it takes, batch by batch, and its folded weights in the end.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class EarlyExitMemoryTests
{
    [Theory]
    [InlineData("msdnet+ge+isc")]
    [InlineData("ranet, phase II")]
    public void Batches_hold_no_more_tensors_from_one_to_the_next(string name)
    {
        using DisposeScope scope = NewDisposeScope();
        using var random = new Generator(7);
        using MultiExitNetwork network = EarlyExitNetworks.Build(name, float32, random);
        Tensor images = randn([12, 3, 32, 32], generator: random);
        NativeMemoryCollection.Settle();
        long before = Tensor.TotalCount;

        using (EarlyExit runner = EarlyExitTests.Runner(network, price: 0))
        {
            Answer(runner, images);
            long held = Tensor.TotalCount;
            for (int time = 0; time < 5; time++)
            {
                Answer(runner, images);
            }

            Tensor.TotalCount.Should().Be(held);
        }

        Tensor.TotalCount.Should().Be(before);
    }

    private static void Answer(EarlyExit runner, Tensor images)
    {
        using DisposeScope batch = NewDisposeScope();
        Tensor score = zeros(0);
        EarlyExitResult answers = runner.Run(images, (k, logits, _) => (score = ExitCriteria.Confidence.Score(logits)).ge(score.mean()));

        answers.Exits.data<long>().ToArray().Distinct().Should().HaveCountGreaterThan(1);
    }
}
