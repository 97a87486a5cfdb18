using System.Runtime.InteropServices;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Tests.Experiments.Pictures;

/// <summary>Pixels and geometry against torchvision's, and files that are none.</summary>
public sealed class PictureTests
{
    public PictureTests() => Skip.IfNot(Picture.IsAvailable, "this build found no headers of libjpeg and libpng");

    public static TheoryData<string> Jpegs => [.. GoldenPictures.Jpegs];

    public static TheoryData<string> Files => [.. GoldenPictures.WithFile.Select(row => row.File)];

    [SkippableTheory]
    [MemberData(nameof(Files))]
    public void Evaluation_sees_torchvisions_pixels(string file)
    {
        PictureHead head = Picture.Look(GoldenPictures.Bytes(file));

        Same(Read(file, PictureShape.ImageNet.ForEvaluation(head.Width, head.Height), flip: false), GoldenPictures.Pixels($"{Path.GetFileNameWithoutExtension(file)}.eval.png"));
    }

    [SkippableTheory]
    [MemberData(nameof(Files))]
    public void A_flipped_crop_has_torchvisions_pixels(string file)
    {
        GoldenPictures.Row row = GoldenPictures.WithFile.Single(row => row.File == file);

        Same(Read(file, PictureCrop.OfCrop(row.Top, row.Left, row.CropHeight, row.CropWidth), flip: true), GoldenPictures.Pixels($"{Path.GetFileNameWithoutExtension(file)}.crop.png"));
    }

    [SkippableFact]
    public void Crops_have_torchvisions_geometry_for_the_numbers_that_it_drew()
    {
        GoldenPictures.Rows.Should().Contain(row => row.FailedTries == PictureCrop.Tries).And.Contain(row => row.FailedTries == 0);
        foreach (GoldenPictures.Row row in GoldenPictures.Rows)
        {
            if (row.FailedTries == PictureCrop.Tries)
            {
                PictureCrop.Middle(row.Width, row.Height).Should().Be((row.Top, row.Left, row.CropHeight, row.CropWidth), row.ToString());
            }
            else
            {
                PictureCrop.Size(row.Width, row.Height, row.AreaShare, row.AspectRatio).Should().Be((row.CropHeight, row.CropWidth), row.ToString());
            }
        }
    }

    /// <summary>Only the blocks around a window are computed.</summary>
    [SkippableTheory]
    [MemberData(nameof(Jpegs))]
    public void A_part_of_a_picture_has_the_pixels_of_the_whole(string file) => PartsAreOfTheWhole(GoldenPictures.Bytes(file), windows: 200, new Random(7)).Should().Be(200);

    /// <summary>Also where the file is cut off or damaged, and what is wrong with it is told by any part.</summary>
    [SkippableTheory]
    [MemberData(nameof(Jpegs))]
    public void A_part_of_a_broken_picture_has_the_pixels_of_the_whole(string file)
    {
        var random = new Random(8);

        GoldenPictures.Broken(file, 25, random).Sum(broken => PartsAreOfTheWhole(broken, windows: 6, random)).Should().BeGreaterThan(25);
    }

    /// <summary>Compares parts with the whole, or how both are refused; returns how many were read.</summary>
    private static int PartsAreOfTheWhole(byte[] bytes, int windows, Random random)
    {
        PictureHead head;
        try
        {
            head = Picture.Look(bytes);
        }
        catch (ExternalException)
        {
            return 0;
        }

        if ((long)head.Width * head.Height > 1 << 20)
        {
            return 0; // its head is broken
        }

        int read = 0;
        (byte[]? whole, PictureTraits? traits) = All(new PictureWindow(0, 0, head.Height, head.Width, head.Height, head.Width, 0, 0, head.Height, head.Width));
        for (int time = 0; time < windows; time++)
        {
            (int top, int height) = Range(head.Height);
            (int left, int width) = Range(head.Width);
            (byte[]? part, PictureTraits? told) = All(new PictureWindow(top, left, height, width, height, width, 0, 0, height, width));

            told.Should().Be(traits);
            read += part is null ? 0 : 1;
            for (int row = 0; part is not null && row < 3 * height; row++)
            {
                int y = top + (row % height), start = (((row / height * head.Height) + y) * head.Width) + left;
                part.AsSpan(row * width, width).SequenceEqual(whole.AsSpan(start, width)).Should().BeTrue($"of rows {top} and {height}, columns {left} and {width} row {row} is the whole picture's");
            }
        }

        return read;

        (byte[]? Planes, PictureTraits? Traits) All(PictureWindow window)
        {
            var planes = new byte[3 * window.SideY * window.SideX];
            try
            {
                return (planes, Picture.Read(bytes, window, flip: false, planes));
            }
            catch (ExternalException)
            {
                return (null, null);
            }
        }

        (int Start, int Length) Range(int size)
        {
            int length = random.Next(3) == 0 ? 1 + random.Next(Math.Min(size, 20)) : 1 + random.Next(size);
            return (random.Next(size - length + 1), length);
        }
    }

    [SkippableTheory]
    [InlineData("landscape.jpg", PictureTraits.None)]
    [InlineData("grey.jpg", PictureTraits.Grey)]
    [InlineData("cmyk.jpg", PictureTraits.Cmyk)]
    [InlineData("rotated.jpg", PictureTraits.Rotated)]
    [InlineData("colour.png", PictureTraits.Png)]
    internal void Traits_are_told(string file, PictureTraits traits)
    {
        GoldenPictures.Row row = GoldenPictures.WithFile.Single(row => row.File == file);

        Picture.Look(GoldenPictures.Bytes(file)).Should().Be(new PictureHead(row.Width, row.Height, traits));
    }

    [SkippableFact]
    public void A_file_that_was_cut_off_is_read_and_told_as_damaged_where_it_is_a_JPEG_and_refused_where_it_is_a_PNG()
    {
        byte[] jpeg = GoldenPictures.Bytes("landscape.jpg"), png = GoldenPictures.Bytes("colour.png");

        Read(jpeg[..(jpeg.Length / 2)], out PictureTraits traits).Should().Contain(value => value > 0);
        traits.Should().Be(PictureTraits.Damaged);
        FluentActions.Invoking(() => Read(png[..(png.Length / 2)], out _)).Should().Throw<ExternalException>().WithMessage("*ends too early*");
    }

    [SkippableFact]
    public void What_is_no_picture_is_refused()
    {
        FluentActions.Invoking(() => Picture.Look([])).Should().Throw<ExternalException>().WithMessage("*neither a JPEG nor a PNG*");
        FluentActions.Invoking(() => Picture.Look("BM6 not here"u8)).Should().Throw<ExternalException>().WithMessage("*neither a JPEG nor a PNG*");
        FluentActions.Invoking(() => Picture.Look([0xFF, 0xD8, 0xFF, 0xD9])).Should().Throw<ExternalException>();
        byte[] vast = GoldenPictures.Bytes("colour.png");
        (vast[16], vast[17], vast[20], vast[21]) = (0x40, 0, 0x40, 0); // width and height of a billion
        FluentActions.Invoking(() => Picture.Look(vast)).Should().Throw<ExternalException>();
        var window = new PictureWindow(0, 0, 300, 261, 224, 224, 0, 0, 224, 224); // a column too wide
        FluentActions.Invoking(() => Picture.Read(GoldenPictures.Bytes("colour.png"), window, false, new byte[3 * 224 * 224])).Should().Throw<ExternalException>().WithMessage("*not within its picture*");
        FluentActions.Invoking(() => Picture.Read(GoldenPictures.Bytes("colour.png"), window, false, new byte[3])).Should().Throw<ArgumentException>();
    }

    /// <summary>Whatever bytes a file has: pixels, or an error.</summary>
    [SkippableFact]
    public void Bytes_that_were_changed_at_random_never_do_more_than_fail()
    {
        var random = new Random(5);
        int refused = 0, read = 0;
        foreach (string file in (string[])["small.jpg", "grey.jpg", "rotated.jpg", "cmyk.jpg", "palette.png"])
        {
            foreach (byte[] bytes in GoldenPictures.Broken(file, 200, random))
            {
                try
                {
                    _ = Read(bytes, out _);
                    read++;
                }
                catch (ExternalException)
                {
                    refused++;
                }
            }
        }

        read.Should().BeGreaterThan(50);
        refused.Should().BeGreaterThan(50);
    }

    private static byte[] Read(string file, PictureWindow window, bool flip)
    {
        var planes = new byte[3 * window.SideY * window.SideX];
        Picture.Read(GoldenPictures.Bytes(file), window, flip, planes);
        return planes;
    }

    private static byte[] Read(byte[] bytes, out PictureTraits traits)
    {
        PictureHead head = Picture.Look(bytes);
        var planes = new byte[3 * 8 * 8];
        traits = Picture.Read(bytes, new PictureWindow(0, 0, head.Height, head.Width, 8, 8, 0, 0, 8, 8), flip: false, planes);
        return planes;
    }

    /// <summary>The two libraries are the same version on Debian; another libjpeg may differ by a step here and there.</summary>
    internal static void Same(byte[] actual, byte[] expected)
    {
        actual.Should().HaveCount(expected.Length);
        int[] differences = [.. actual.Zip(expected, (a, b) => Math.Abs(a - b))];
        differences.Average().Should().BeLessThan(0.1);
        differences.Max().Should().BeLessThanOrEqualTo(3);
    }
}
