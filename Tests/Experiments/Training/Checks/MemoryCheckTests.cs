using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Training.Checks;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Experiments.Training.Checks;

public sealed class MemoryCheckTests
{
    private static readonly MemoryEstimate Need = new(
        50 * ByteSize.Mib, 10 * ByteSize.Mib, 6 * ByteSize.Mib, TrainImages: 45_000, EvaluationImages: 10_000, Processes: 1,
        IsFrozen: false, new MetaSettings());

    [Theory]
    [InlineData(0.79, null)]
    [InlineData(0.81, Severity.Warning)]
    [InlineData(1.01, Severity.Error)]
    internal void It_stops_where_a_step_does_not_fit_and_warns_from_four_fifths_on(double share, Severity? severity)
        => Findings(Need, 512, (long)(Need.BytesFor(512) / share)).Select(finding => (Severity?)finding.Severity).Should()
            .Equal(severity is null ? [] : [severity]);

    [Fact]
    public void The_advised_batch_is_the_largest_even_one_that_fits_with_room_to_spare() => Prop.ForAll(Arb.From(
        from batch in Gen.Choose(400, 2000)
        from share in Gen.Choose(102, 125)
        select (batch, share)),
        c =>
        {
            long available = Need.BytesFor(c.batch) * 100 / c.share;
            string fix = Findings(Need, c.batch, available).Single().Fix;
            fix.Should().StartWith("set train.batch to ");
            int advised = int.Parse(fix.Split(' ')[^1], System.Globalization.CultureInfo.InvariantCulture);

            advised.Should().BeLessThan(c.batch);
            (advised % 2).Should().Be(0);
            Findings(Need, advised, available).Should().BeEmpty();
            Findings(Need, advised + 2, available).Should().NotBeEmpty();
        }).Hold();

    [Fact]
    public void Processes_share_a_batch_and_are_advised_one_that_they_can_share()
    {
        MemoryEstimate shared = Need with { Processes = 3 };
        shared.BytesFor(1200).Should()
            .BeLessThan(Need.BytesFor(1200)).And.BeGreaterThan(Need.BytesFor(400), "a copy of the gradients is exchanged");

        int advised = int.Parse(
            Findings(shared, 1200, shared.BytesFor(1200) * 9 / 10).Single().Fix.Split(' ')[^1],
            System.Globalization.CultureInfo.InvariantCulture);
        (advised % 6).Should().Be(0);
        advised.Should().BeInRange(600, 1200);
    }

    [Fact]
    public void Pictures_in_files_take_the_batches_that_are_read_ahead_with_those_of_held_out_meta_data()
    {
        MemoryEstimate pictures = Need with { PictureBytes = 150_528, EvaluationImages = 10 };
        long Of(MemoryEstimate need, int batch) => need.BytesFor(batch) - (need with { PictureBytes = 0 }).BytesFor(batch);

        Of(pictures, 1000).Should().Be(1000L * 150_528 * 13, "one batch as bytes and twice as float32, four ahead");
        Of(pictures with { Processes = 4 }, 1000).Should().Be(250L * 150_528 * 13);
        Of(pictures with { Meta = new MetaSettings { Source = MetaSource.HeldOut } }, 1000).Should().Be(1000L * 150_528 * 26);
        Of(pictures with { OnGpu = true }, 1000).Should().Be(1000L * 150_528 * 9);
        (pictures with { NameBytes = 1000 }).BytesFor(64).Should().Be(pictures.BytesFor(64) + 1000);
        (pictures with { NameBytes = 1000, OnGpu = true }).BytesFor(64).Should().Be((pictures with { OnGpu = true }).BytesFor(64));
        Of(pictures with { EvaluationImages = 10_000 }, 16).Should().Be(256L * 150_528 * 13);
    }

    [Fact]
    public void Where_no_batch_fits_the_network_is_too_large()
        => Findings(Need, 512, 500 * ByteSize.Mib).Single().Fix.Should().Contain("a smaller network");

    [Fact]
    public void Evaluation_takes_what_it_takes_with_the_smallest_batch_too()
    {
        Need.BytesFor(4).Should().Be(Need.BytesFor(32), "256 images go forward at once in evaluation");
        (Need with { EvaluationImages = 10 }).BytesFor(4).Should().BeLessThan(Need.BytesFor(4));
    }

    [Fact]
    public void Every_method_has_its_figures_and_low_memory_the_least()
    {
        long[] needs =
        [
            .. Enum.GetValues<MetaGradientMethod>()
                .Select(method => (Need with { Meta = new MetaSettings { Gradient = method } }).BytesFor(1024)),
        ];
        long low = (Need with { Meta = new MetaSettings { Memory = MetaMemory.Low } }).BytesFor(1024);
        long plain = (Need with { Meta = new MetaSettings { Enabled = false } }).BytesFor(512);

        needs.Should().OnlyContain(need => need > low);
        low.Should().BeGreaterThan(plain, "half a batch and its lookahead take more than half a batch");
        needs[(int)MetaGradientMethod.Forward].Should().BeLessThan(needs[(int)MetaGradientMethod.Unrolled]);
    }

    [Fact]
    public void A_GPU_that_is_too_small_is_a_warning_because_CUDA_says_so_itself()
    {
        MemoryEstimate gpu = Need with { OnGpu = true };
        CheckFinding finding = Findings(gpu, 512, gpu.BytesFor(512) / 2).Single();

        finding.Severity.Should().Be(Severity.Warning);
        finding.Problem.Should().Contain("of GPU memory");
        gpu.BytesFor(512).Should().BeGreaterThan(Need.BytesFor(512), "CUDA itself takes more room than this program does on the CPU");
    }

    [Fact]
    public void Features_of_half_the_size_halve_what_a_step_keeps_and_leave_evaluation()
    {
        MemoryEstimate half = Need with { FeatureShare = 0.5 };

        (half.BytesFor(2048) - Need.BytesFor(1024)).Should().Be(0);
        half.BytesFor(4).Should().Be(Need.BytesFor(4));
    }

    [Fact]
    public void A_batch_is_never_larger_than_the_training_set()
        => (Need with { TrainImages = 300 }).BytesFor(1024).Should().Be((Need with { TrainImages = 300 }).BytesFor(300));

    [Theory]
    [InlineData(1024L, "1.0 KiB")]
    [InlineData(41_943_040L, "40 MiB")]
    [InlineData(10_400_000L, "9.9 MiB")]
    [InlineData(10_450_000L, "10 MiB")]
    [InlineData(1_288_490_189L, "1.2 GiB")]
    public void Sizes_are_written_for_people(long bytes, string text) => ByteSize.Text(bytes).Should().Be(text);

    private static CheckFinding[] Findings(MemoryEstimate need, int batch, long available)
        => [.. MemoryCheck.Findings(need, batch, available)];
}
