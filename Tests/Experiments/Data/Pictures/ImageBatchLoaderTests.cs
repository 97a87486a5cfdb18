using System.Diagnostics;
using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

public sealed class ImageBatchLoaderTests : IDisposable
{
    private static readonly string[] Names = [.. GoldenPictures.WithFile.Select(row => row.File)];

    private readonly TemporaryFolder _folder = new();
    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly List<string> _told = [];
    private readonly ImageReadStatistics _tally;
    private int _started;

    public ImageBatchLoaderTests()
    {
        _tally = new ImageReadStatistics(_told.Add);
        foreach (string name in Names)
        {
            File.WriteAllBytes(_folder.In(name), GoldenPictures.Bytes(name));
        }
    }

    public void Dispose()
    {
        _scope.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Any_number_of_threads_gives_the_same_pixels_in_the_order_of_the_jobs()
    {
        byte[][] one = Pixels(threads: 1), five = Pixels(threads: 5);

        one.Should().HaveCount(7);
        one.Select(batch => batch.Length).Should().OnlyContain(length => length == 4 * 3 * 224 * 224);
        one.Zip(five).Should().OnlyContain(pair => pair.First.SequenceEqual(pair.Second));
        one[0].Should().NotEqual(one[5], "other crops of the same pictures");
        _told.Should().BeEmpty();

        byte[][] Pixels(int threads) => [.. Batches(threads).Read(Jobs(7)).Select(batch => batch.Pixels.data<byte>().ToArray())];
    }

    [Fact]
    public void Without_draws_it_is_the_evaluations_window()
    {
        byte[] pixels = Batches(2).Read([new ImageBatchRequest([_folder.In("portrait.jpg")], null, [])]).Single().Pixels.data<byte>()
            .ToArray();

        pixels.Should().Equal(GoldenPictures.Pixels("portrait.eval.png"));
    }

    [Fact]
    public void A_slow_taker_meets_no_more_than_the_batches_that_may_wait()
    {
        ImageBatchLoader batches = Batches(2);
        int taken = 0;
        foreach ((_, Tensor pixels) in batches.Read(Counted(Jobs(12))))
        {
            pixels.Dispose();
            taken++;
            var clock = Stopwatch.StartNew();
            while (Volatile.Read(ref _started) < Math.Min(12, taken + ImageBatchLoader.PrefetchCount + 1)
                && clock.Elapsed < TimeSpan.FromSeconds(20))
            {
                Thread.Sleep(5);
            }

            Thread.Sleep(30);
            Volatile.Read(ref _started).Should().BeLessThanOrEqualTo(taken + ImageBatchLoader.PrefetchCount + 1);
        }

        taken.Should().Be(12);
    }

    [Fact]
    public void A_taker_that_goes_leaves_no_work_behind()
    {
        ImageBatchLoader batches = Batches(2);

        foreach ((_, Tensor pixels) in batches.Read(Counted(Jobs(1000))).Take(2))
        {
            pixels.Dispose();
        }

        int made = Volatile.Read(ref _started);
        made.Should().BeLessThan(10);
        Thread.Sleep(100);
        Volatile.Read(ref _started).Should().Be(made);
    }

    [Fact]
    public void What_cannot_be_read_is_black_and_told_and_what_the_jobs_throw_goes_up()
    {
        File.WriteAllText(_folder.In("broken.jpg"), "no JPEG");
        byte[] whole = GoldenPictures.Bytes("landscape.jpg");
        File.WriteAllBytes(_folder.In("half.jpg"), whole[..(whole.Length / 2)]);
        string[] files = [_folder.In("small.jpg"), _folder.In("broken.jpg"), _folder.In("half.jpg")];

        foreach (int _ in Enumerable.Range(0, 2)) // the second time nothing is told again
        {
            using Tensor batch = Batches(2).Read([new ImageBatchRequest(files, null, [])]).Single().Pixels;

            batch.select(0, 0).to_type(int64).sum().item<long>().Should().BeGreaterThan(0);
            batch.select(0, 1).to_type(int64).sum().item<long>().Should().Be(0);
        }

        _told.Should().SatisfyRespectively(
            line => line.Should().Contain("broken.jpg cannot be read (not a JPEG, PNG, WebP or BMP file); using a black image instead"),
            line => line.Should().EndWith("half.jpg is damaged; using the part that can be decoded"));
        ImageReadStatistics.Describe(_tally.TakeCounts()).Should().Be("6 images read, 2 damaged, 2 unreadable");
        ImageReadStatistics.Describe(_tally.TakeCounts()).Should().Be("0 images read, 0 unreadable");
        FluentActions.Invoking(() => Batches(2).Read(Failing()).Count()).Should().Throw<InvalidOperationException>().WithMessage("no more");

        IEnumerable<ImageBatchRequest> Failing()
        {
            yield return new ImageBatchRequest(files, null, []);
            throw new InvalidOperationException("no more");
        }
    }

    /// <summary>A folder that is gone must not become an epoch of black pictures.</summary>
    [Fact]
    public void A_file_that_cannot_be_opened_ends_it_with_its_name()
    {
        string[] files = [_folder.In("small.jpg"), _folder.In("nowhere.jpg")];

        FluentActions.Invoking(() => Batches(2).Read([new ImageBatchRequest(files, null, [])]).Count()).Should().Throw<IOException>()
            .WithMessage("*nowhere.jpg*");
    }

    [Fact]
    public void Many_threads_that_meet_it_at_once_tell_the_same()
    {
        string[] files = [.. Enumerable.Range(0, 64).Select(k => _folder.In($"nowhere{k}.jpg"))];

        FluentActions.Invoking(() => Batches(8).Read([new ImageBatchRequest(files, null, [])]).Count()).Should().Throw<IOException>()
            .WithMessage("*nowhere*.jpg*");
        Tensor black = new ImageBatchLoader(8, ImageTransform.ImageNet, _tally, skipMissing: true)
            .Read([new ImageBatchRequest(files, null, [])])
            .Single().Pixels;
        black.to_type(int64).sum().item<long>().Should().Be(0);
        _told.Should().HaveCount(64);
    }

    [Fact]
    public void Hundreds_of_broken_files_are_told_by_a_hundred_lines_and_all_counted()
    {
        string[] files = [.. Enumerable.Range(0, 130).Select(k => _folder.In($"{k}.jpg"))];
        Array.ForEach(files, file => File.WriteAllText(file, "no JPEG"));

        foreach ((_, Tensor pixels) in Batches(2).Read([new ImageBatchRequest(files, null, [])]))
        {
            pixels.Dispose();
        }

        _told.Should().HaveCount(101);
        _told[^1].Should().Be("further such images are only counted");
        ImageReadStatistics.Describe(_tally.TakeCounts()).Should().Be("130 images read, 130 unreadable");
        _tally.Unreadable.Should().BeEquivalentTo(files);
    }

    [Fact]
    public void Crops_lie_within_every_picture_and_half_of_them_are_flipped() => Prop.ForAll(Arb.From(
        from width in Gen.Choose(1, 4000)
        from height in Gen.Choose(1, 4000)
        from seed in Gen.Choose(0, int.MaxValue)
        select (width, height, seed)),
        c =>
        {
            using var random = new Generator((ulong)c.seed);
            RandomCropDraws draws = RandomCropDraws.Sample(64, random);
            foreach (int sample in Enumerable.Range(0, 64))
            {
                ImageWindow window = draws.Window(sample, c.width, c.height);
                window.Top.Should().BeInRange(0, c.height - window.Height);
                window.Left.Should().BeInRange(0, c.width - window.Width);
                (window.Height > 0 && window.Width > 0 && window.Rows == RandomCrop.Side && window.Columns == RandomCrop.Side).Should()
                    .BeTrue();
            }

            Enumerable.Range(0, 64).Count(draws.Flips).Should().BeInRange(8, 56);
        }).Hold();

    /// <summary>Numbers that mean the area and the aspect ratio that torchvision drew give its crop.</summary>
    [Fact]
    public void The_numbers_of_a_draw_mean_what_torchvision_draws_by()
    {
        GoldenPictures.Row[] rows = [.. GoldenPictures.Rows.Where(row => row.FailedTries < RandomCrop.MaxAttempts)];
        foreach (GoldenPictures.Row row in rows)
        {
            float area = (float)((row.AreaShare - 0.08) / 0.92), aspect = (float)((Math.Log(row.AspectRatio) / Math.Log(4.0 / 3) + 1) / 2);
            float top = (row.Top + 0.5f) / (row.Height - row.CropHeight + 1), left = (row.Left + 0.5f) / (row.Width - row.CropWidth + 1);
            var draws = new RandomCropDraws([area, aspect, top, left, .. Enumerable.Repeat(0f, 4 * (RandomCrop.MaxAttempts - 1)), 0.6f]);

            draws.Window(0, row.Width, row.Height).Should()
                .Be(RandomCrop.Resized(row.Top, row.Left, row.CropHeight, row.CropWidth), row.ToString());
            draws.Flips(0).Should().BeFalse();
        }

        GoldenPictures.Row never = GoldenPictures.Rows.First(row => row.FailedTries == RandomCrop.MaxAttempts);
        var none = new RandomCropDraws([.. Enumerable.Repeat(0.999f, 4 * RandomCrop.MaxAttempts), 0.4f]);
        none.Window(0, never.Width, never.Height).Should()
            .Be(RandomCrop.Resized(never.Top, never.Left, never.CropHeight, never.CropWidth), never.ToString());
        none.Flips(0).Should().BeTrue();
    }

    private ImageBatchLoader Batches(int threads) => new(threads, ImageTransform.ImageNet, _tally);

    /// <summary>Counts the jobs that are taken, on whatever thread takes them.</summary>
    private IEnumerable<ImageBatchRequest> Counted(IEnumerable<ImageBatchRequest> jobs) => jobs.Select(job =>
    {
        Interlocked.Increment(ref _started);
        return job;
    });

    private IEnumerable<ImageBatchRequest> Jobs(int count)
    {
        for (int job = 0; job < count; job++)
        {
            using var random = new Generator((ulong)job);
            yield return new ImageBatchRequest(
                [.. Enumerable.Range(0, 4).Select(k => _folder.In(Names[((4 * job) + k) % Names.Length]))],
                RandomCropDraws.Sample(4, random), []);
        }
    }
}
