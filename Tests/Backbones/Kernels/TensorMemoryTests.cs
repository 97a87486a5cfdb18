using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Reports;

namespace Imta.MetaWeight.Tests.Backbones.Kernels;

/// <summary>Memory that is kept for later tensors: nobody's while somebody has it, and whole again afterwards.</summary>
[Collection(NativeMemoryCollection.Name)]
public sealed unsafe class TensorMemoryTests
{
    /// <summary>Whatever is taken and given back in whatever order, blocks hold what was written to them: they do not overlap.</summary>
    [Fact]
    public void Blocks_are_apart()
        => Prop.ForAll(ArbMap.Default.ArbFor<(PositiveInt Size, bool GivesBack)[]>(), steps =>
        {
            var blocks = new List<(nint Start, nint Size)>();
            bool areApart = true;
            for (int i = 0; i < steps.Length; i++)
            {
                nint size = steps[i].Size.Get * 1777;
                var start = (nint)TensorMemory.Rent(size);
                new Span<byte>((void*)start, (int)size).Fill(Mark(start));
                blocks.Add((start, size));
                if (steps[i].GivesBack)
                {
                    areApart &= GiveBack(i / 2);
                }
            }

            while (blocks.Count > 0)
            {
                areApart &= GiveBack(blocks.Count / 2);
            }

            return areApart;

            bool GiveBack(int number)
            {
                (nint start, nint size) = blocks[number % blocks.Count];
                blocks.RemoveAt(number % blocks.Count);
                bool isWhole = start % 4096 == 0 && new Span<byte>((void*)start, (int)size).IndexOfAnyExcept(Mark(start)) < 0;
                TensorMemory.Return((void*)start);
                return isWhole;
            }
        }).Hold();

    [Fact]
    public void A_tensors_memory_is_kept_until_the_last_view_is_gone()
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor tensor = TensorMemory.Empty([300, 1000], ScalarType.Float32).fill_(Held(1)), view = tensor.narrow(0, 100, 50);
        tensor.Dispose();

        Tensor other = TensorMemory.Empty([300, 1000], ScalarType.Float32).fill_(Held(2));

        view.eq(Held(1)).all().item<bool>().Should().BeTrue();
        other.shape.Should().Equal(300, 1000);
        other.is_contiguous().Should().BeTrue();
    }

    [Fact]
    public void A_thousand_tensors_one_after_the_other_take_the_memory_of_one()
    {
        var places = new HashSet<nint>();
        for (int i = 0; i < 1000; i++)
        {
            using Tensor tensor = TensorMemory.Empty([1 << 20], ScalarType.Float64);
            StableAbi.ThrowOnFailure(StableAbi.aoti_torch_get_data_ptr(tensor.Handle, out void* data));
            places.Add((nint)data);
        }

        places.Should().HaveCountLessThan(4, "what earlier tests left may be freed in between");
    }

    [Fact]
    public void Threads_do_not_disturb_each_other()
    {
        Parallel.For(0, 64, number =>
        {
            for (int i = 0; i < 20; i++)
            {
                using DisposeScope scope = NewDisposeScope();
                Tensor tensor = TensorMemory.Empty([(number + 1) * 5000], ScalarType.Float32).fill_(Held(number));
                tensor.eq(Held(number)).all().item<bool>().Should().BeTrue();
            }
        });
    }

    private static byte Mark(nint start) => (byte)((start >> 12) % 251);
}
