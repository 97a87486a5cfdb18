using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Reports;
using Random = System.Random;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary>Pixels and geometry against torchvision's, parts of pictures against the whole, and files that are none.</summary>
public sealed class ImageDecoderTests
{
    public static TheoryData<string> Jpegs => [.. GoldenPictures.Jpegs];

    public static TheoryData<string> Files => [.. GoldenPictures.WithFile.Select(row => row.File)];

    public static TheoryData<string> All => [.. GoldenPictures.Jpegs.Union(GoldenPictures.WithFile.Select(row => row.File))];

    [Theory]
    [MemberData(nameof(Files))]
    public void Evaluation_sees_torchvisions_pixels(string file)
    {
        GoldenPictures.Row row = GoldenPictures.WithFile.Single(row => row.File == file);

        Read(GoldenPictures.Bytes(file), ImageTransform.ImageNet.ForEvaluation(row.Width, row.Height)).Planes.Should()
            .Equal(GoldenPictures.Pixels($"{Path.GetFileNameWithoutExtension(file)}.eval.png"));
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void A_flipped_crop_has_torchvisions_pixels(string file)
    {
        GoldenPictures.Row row = GoldenPictures.WithFile.Single(row => row.File == file);
        ImageWindow crop = RandomCrop.Resized(row.Top, row.Left, row.CropHeight, row.CropWidth);

        Read(GoldenPictures.Bytes(file), crop, flip: true).Planes.Should()
            .Equal(GoldenPictures.Pixels($"{Path.GetFileNameWithoutExtension(file)}.crop.png"));
    }

    [Fact]
    public void Crops_have_torchvisions_geometry_for_the_numbers_that_it_drew()
    {
        GoldenPictures.Rows.Should().Contain(row => row.FailedTries == RandomCrop.MaxAttempts).And.Contain(row => row.FailedTries == 0);
        foreach (GoldenPictures.Row row in GoldenPictures.Rows)
        {
            if (row.FailedTries == RandomCrop.MaxAttempts)
            {
                RandomCrop.CentreFallback(row.Width, row.Height).Should()
                    .Be((row.Top, row.Left, row.CropHeight, row.CropWidth), row.ToString());
            }
            else
            {
                RandomCrop.Size(row.Width, row.Height, row.AreaShare, row.AspectRatio).Should()
                    .Be((row.CropHeight, row.CropWidth), row.ToString());
            }
        }
    }

    /// <summary>Only the blocks around a window are computed.</summary>
    [Theory]
    [MemberData(nameof(All))]
    public void A_part_of_a_picture_has_the_pixels_of_the_whole(string file)
        => Laws.HoldFor(4, random => PartsAreOfTheWhole(GoldenPictures.Bytes(file), windows: 50, random).Should().Be(50));

    /// <summary>Also where the file is cut off or damaged, and what is wrong with it is told by any part.</summary>
    [Theory]
    [MemberData(nameof(Jpegs))]
    public void A_part_of_a_broken_picture_has_the_pixels_of_the_whole(string file)
    {
        int read = 0;

        Laws.HoldFor(25, random => read += PartsAreOfTheWhole(GoldenPictures.Broken(file, random), windows: 6, random));

        read.Should().BeGreaterThan(20);
    }

    /// <summary>Whichever part is asked for; only what may lie between the chunks that pixels need is not looked at.</summary>
    [Theory]
    [InlineData("colour.png")]
    [InlineData("palette.png")]
    [InlineData("deep.png")]
    public void A_PNG_with_a_changed_byte_among_its_pixels_or_without_some_of_them_is_refused(string file)
    {
        byte[] whole = GoldenPictures.Bytes(file);
        int start = whole.AsSpan().IndexOf("IDAT"u8) + 4, end = whole.AsSpan().LastIndexOf("IEND"u8) - 4;
        Laws.HoldFor(60, random =>
        {
            byte[] changed = [.. whole];
            changed[random.Next(start, end)] ^= (byte)random.Next(1, 256);

            PartsAreOfTheWhole(changed, windows: 3, random).Should().Be(0);
            PartsAreOfTheWhole(whole[..random.Next(start, end)], windows: 3, random).Should().Be(0);
            PartsAreOfTheWhole(whole[..end], windows: 3, random).Should().Be(3, "no pixels are missing");
        });
    }

    /// <summary>PNG files have no two ways to be decoded, nor windows two ways to be resampled.</summary>
    [Fact]
    public void Any_window_of_any_kind_of_PNG_is_what_its_samples_say_to_the_bit() => Prop.ForAll(Arb.From(
        from kind in Gen.Elements(RandomPng.Kinds)
        from width in Gen.Choose(1, 70)
        from height in Gen.Choose(1, 70)
        from interlaced in ArbMap.Default.GeneratorFor<bool>()
        from transparent in ArbMap.Default.GeneratorFor<bool>()
        from flip in ArbMap.Default.GeneratorFor<bool>()
        from seed in Gen.Choose(0, int.MaxValue)
        select (kind, width, height, interlaced, transparent, flip, seed)),
        c =>
        {
            var random = new Random(c.seed);
            var png = new RandomPng(random);
            byte[] bytes = png.Write(c.kind.Colour, c.kind.Bits, c.width, c.height, c.interlaced, c.transparent);
            ImageWindow window = PlainResampling.AnyWindow(random, c.width, c.height);
            ImageTraits traits = ImageTraits.Png | (c.kind.Colour is 0 or 4 ? ImageTraits.Grey : 0);

            using var picture = ImageDecoder.Open(bytes);
            picture.Header.Should().Be(new ImageHeader(c.width, c.height, traits));
            (byte[] planes, ImageTraits told) = Read(bytes, window, c.flip);
            planes.Should().Equal(PlainResampling.Of(png.Pixels, c.width, window, c.flip));
            told.Should().Be(traits);
        }).Hold(500);

    [Theory]
    [InlineData("landscape.jpg", nameof(ImageTraits.None))]
    [InlineData("grey.jpg", nameof(ImageTraits.Grey))]
    [InlineData("cmyk.jpg", nameof(ImageTraits.Cmyk))]
    [InlineData("rotated.jpg", nameof(ImageTraits.Rotated))]
    [InlineData("colour.png", nameof(ImageTraits.Png))]
    public void Traits_are_told(string file, string told)
    {
        GoldenPictures.Row row = GoldenPictures.WithFile.Single(row => row.File == file);
        byte[] bytes = GoldenPictures.Bytes(file);
        ImageTraits traits = Enum.Parse<ImageTraits>(told);
        using var picture = ImageDecoder.Open(bytes);

        picture.Header.Should().Be(new ImageHeader(row.Width, row.Height, traits));
        Read(bytes, Small(picture.Header)).Traits.Should().Be(traits);
    }

    /// <summary>In the middle of a scan, of a segment, of a marker.</summary>
    [Theory]
    [MemberData(nameof(Jpegs))]
    public void A_JPEG_that_was_cut_off_is_told_as_damaged_and_keeps_the_rows_before_where_it_has_one_scan(string file)
    {
        byte[] whole = GoldenPictures.Bytes(file);
        (byte[] Planes, ImageTraits Traits) intact = ReadAll(whole)!.Value;
        int rows = 0;
        foreach (int length in (int[])[whole.Length / 4, whole.Length / 2, whole.Length * 3 / 4, whole.Length - 40, whole.Length - 1])
        {
            if (ReadAll(whole[..length]) is not { } read)
            {
                rows.Should().Be(0, $"more was refused than a shorter file, {length} bytes");
                continue;
            }

            read.Traits.Should().Be(intact.Traits | ImageTraits.Damaged);
            int kept = read.Planes.AsSpan().CommonPrefixLength(intact.Planes); // of red, row by row
            kept.Should().BeGreaterThanOrEqualTo(file.Contains("progressive", StringComparison.Ordinal) ? 0 : rows, $"cut off at {length}");
            rows = kept;
        }

        rows.Should().Be(intact.Planes.Length, "nothing but half of the last marker is missing");
    }

    [Fact]
    public void What_is_no_picture_or_only_a_part_of_a_PNG_or_too_large_is_refused()
    {
        byte[] png = GoldenPictures.Bytes("colour.png"), wide = GoldenPictures.Bytes("colour.png"),
            vast = GoldenPictures.Bytes("small.jpg");
        vast.AsSpan(vast.AsSpan().IndexOf((byte[])[0xFF, 0xC0]) + 5, 4).Fill(0xF0); // height and width
        (wide[16], wide[17], wide[20], wide[21]) = (0x40, 0, 0x40, 0); // width and height of a billion

        Refused([]).WithMessage("not a JPEG, PNG, WebP or BMP file");
        Refused([.. "BM6"u8, .. new byte[200]]).WithMessage("a BMP file with a damaged header*");
        Refused([.. "RIFF"u8, .. new byte[4], .. "WEBPVP8 "u8, .. new byte[200]]).WithMessage("a WebP file with a damaged header*");
        Refused([.. "GIF89a"u8, .. new byte[200]]).WithMessage("not a JPEG, PNG, WebP or BMP file");
        Refused([0xFF, 0xD8, 0xFF, 0xD9]).WithMessage("a JPEG file with a damaged header*");
        Refused(png[..40]).WithMessage("a PNG file with a damaged header*");
        Refused(wide);
        Refused(vast).WithMessage("unsupported image size 61680 x 61680");
        FluentActions.Invoking(() => ReadOrThrow(png[..(png.Length / 2)])).Should().Throw<InvalidDataException>()
            .WithMessage("a PNG file that is truncated");
    }

    [Fact]
    public void Windows_that_do_not_lie_within_the_picture_and_planes_of_another_size_are_refused()
    {
        using var picture = ImageDecoder.Open(GoldenPictures.Bytes("colour.png")); // 260 x 300
        var planes = new byte[3 * 8 * 8];

        foreach (ImageWindow window in (ImageWindow[])
        [
            new(0, 0, 300, 261, 8, 8, 0, 0, 8, 8), new(1, 0, 300, 260, 8, 8, 0, 0, 8, 8),
            new(0, 0, 300, 260, 8, 8, 0, int.MaxValue, 8, 8), new(0, 0, 300, 260, 7, 8, 0, 0, 8, 8),
        ])
        {
            picture.Invoking(one => one.Read(window, false, planes)).Should().Throw<InvalidDataException>()
                .WithMessage("*the window exceeds the image*");
        }

        picture.Invoking(one => one.Read(Small(one.Header), false, new byte[3])).Should().Throw<ArgumentException>();
    }

    /// <summary>Whatever bytes a file has: pixels, or an error.</summary>
    [Fact]
    public void Bytes_that_were_changed_at_random_never_do_more_than_fail()
    {
        int refused = 0, read = 0;
        foreach (string file in (string[])["small.jpg", "grey.jpg", "rotated.jpg", "cmyk.jpg", "portrait.jpg", "palette.png", "deep.png"])
        {
            Laws.HoldFor(200, random => _ = Try(() => ReadOrThrow(GoldenPictures.Broken(file, random))) is null ? refused++ : read++);
        }

        read.Should().BeGreaterThan(50);
        refused.Should().BeGreaterThan(50);
    }

    /// <summary>Compares parts with the whole, or how both are refused; returns how many were read.</summary>
    private static int PartsAreOfTheWhole(byte[] bytes, int windows, Random random)
    {
        if (Try(() => ImageDecoder.Open(bytes)) is not { } picture)
        {
            return 0;
        }

        using ImageDecoder opened = picture;
        ImageHeader head = picture.Header;
        if ((long)head.Width * head.Height > 1 << 20)
        {
            return 0; // its head is broken
        }

        int read = 0;
        (byte[] Planes, ImageTraits Traits)? whole = ReadAll(bytes);
        for (int time = 0; time < windows; time++)
        {
            (int top, int height) = PlainResampling.AnyRange(random, head.Height);
            (int left, int width) = PlainResampling.AnyRange(random, head.Width);
            (byte[] Planes, ImageTraits Traits)? part = Try(
                () => Read(bytes, new ImageWindow(top, left, height, width, height, width, 0, 0, height, width)));

            (part?.Traits).Should().Be(whole?.Traits);
            read += part is null ? 0 : 1;
            for (int row = 0; part is not null && row < 3 * height; row++)
            {
                int y = top + (row % height), start = (((row / height * head.Height) + y) * head.Width) + left;
                part.Value.Planes.AsSpan(row * width, width).SequenceEqual(whole!.Value.Planes.AsSpan(start, width))
                    .Should().BeTrue($"of rows {top} and {height}, columns {left} and {width} row {row} is the whole picture's");
            }
        }

        return read;
    }

    private static T? Try<T>(Func<T> read)
    {
        try
        {
            return read();
        }
        catch (InvalidDataException)
        {
            return default;
        }
    }

    private static (byte[] Planes, ImageTraits Traits)? Try(Func<(byte[] Planes, ImageTraits Traits)> read)
        => Try<(byte[], ImageTraits)?>(() => read());

    private static FluentAssertions.Specialized.ExceptionAssertions<InvalidDataException> Refused(byte[] file)
        => FluentActions.Invoking(() => ImageDecoder.Open(file)).Should().Throw<InvalidDataException>();

    /// <summary>All of a file, small.</summary>
    private static (byte[] Planes, ImageTraits Traits) ReadOrThrow(byte[] bytes)
    {
        using var picture = ImageDecoder.Open(bytes);
        return Read(bytes, Small(picture.Header));
    }

    /// <summary>All of a file, as it is; null: refused.</summary>
    private static (byte[] Planes, ImageTraits Traits)? ReadAll(byte[] bytes) => Try(() =>
    {
        using var picture = ImageDecoder.Open(bytes);
        return Read(bytes, ImageWindow.All(picture.Header));
    });

    private static (byte[] Planes, ImageTraits Traits) Read(byte[] bytes, ImageWindow window, bool flip = false)
    {
        using var picture = ImageDecoder.Open(bytes);
        var planes = new byte[3 * window.SideY * window.SideX];
        return (planes, picture.Read(window, flip, planes));
    }

    private static ImageWindow Small(ImageHeader head) => new(0, 0, head.Height, head.Width, 8, 8, 0, 0, 8, 8);
}
