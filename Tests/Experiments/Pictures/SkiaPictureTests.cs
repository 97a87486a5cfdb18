using System.Runtime.InteropServices;
using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Native;
using Random = System.Random;

namespace Imta.MetaWeight.Tests.Experiments.Pictures;

/// <summary>The reader of TorchSource=package against torchvision's pictures and the native reader, which there is with another TorchSource.</summary>
public sealed class SkiaPictureTests
{
    public static TheoryData<string> Files => PictureTests.Files;

    public static TheoryData<string> Jpegs => [.. GoldenPictures.WithFile.Select(row => row.File).Where(file => file.EndsWith(".jpg", StringComparison.Ordinal))];

    [SkippableTheory]
    [MemberData(nameof(Files))]
    public void Evaluation_and_a_flipped_crop_have_torchvisions_pixels(string file)
    {
        NeedReader();
        GoldenPictures.Row row = GoldenPictures.WithFile.Single(row => row.File == file);
        byte[] bytes = GoldenPictures.Bytes(file);

        string stem = Path.GetFileNameWithoutExtension(file);

        PictureTests.Same(Read(bytes, PictureShape.ImageNet.ForEvaluation(row.Width, row.Height), flip: false).Planes, GoldenPictures.Pixels($"{stem}.eval.png"));
        PictureTests.Same(Read(bytes, PictureCrop.OfCrop(row.Top, row.Left, row.CropHeight, row.CropWidth), flip: true).Planes, GoldenPictures.Pixels($"{stem}.crop.png"));
    }

    [SkippableTheory]
    [MemberData(nameof(Files))]
    public void Size_traits_and_all_pixels_are_the_native_readers(string file)
    {
        NeedReader();
        byte[] bytes = GoldenPictures.Bytes(file);
        PictureHead head = SkiaPicture.Look(bytes);

        head.Should().Be(Picture.Look(bytes));
        PictureWindow all = All(head, head.Height, head.Width);
        (byte[] planes, PictureTraits traits) = Read(bytes, all, flip: false);
        (byte[] native, PictureTraits nativeTraits) = ReadNative(bytes, all, flip: false);
        PictureTests.Same(planes, native);
        traits.Should().Be(nativeTraits);
    }

    /// <summary>PNG files have no two ways to be decoded, so what is resampled is the same, and so must be the result.</summary>
    [SkippableFact]
    public void Any_window_of_any_kind_of_PNG_is_the_native_readers_to_the_bit()
    {
        NeedReader();
        Prop.ForAll(Arb.From(
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
                byte[] bytes = new RandomPng(random).Write(c.kind.Colour, c.kind.Bits, c.width, c.height, c.interlaced, c.transparent);
                PictureWindow window = AnyWindow(random, c.width, c.height);

                SkiaPicture.Look(bytes).Should().Be(Picture.Look(bytes));
                (byte[] planes, PictureTraits traits) = Read(bytes, window, c.flip);
                (byte[] native, PictureTraits nativeTraits) = ReadNative(bytes, window, c.flip);
                planes.Should().Equal(native);
                traits.Should().Be(nativeTraits);
            }).Check(Config.QuickThrowOnFailure.WithMaxTest(500));
    }

    /// <summary>In the middle of a scan, of a segment, of a marker: the same pixels as far as they go, and the same guess behind.</summary>
    [SkippableTheory]
    [MemberData(nameof(Jpegs))]
    public void A_JPEG_that_was_cut_off_is_read_and_told_as_damaged_as_the_native_reader_does(string file)
    {
        NeedReader();
        byte[] whole = GoldenPictures.Bytes(file);
        var random = new Random(6);
        for (int k = 0; k < 30; k++)
        {
            byte[] bytes = whole[..(k == 0 ? whole.Length - 1 : random.Next(2, whole.Length))];
            (byte[] Planes, PictureTraits Traits)? native = Outcome(Picture.Look, ReadNative, bytes), ours = Outcome(SkiaPicture.Look, Read, bytes);

            ours.HasValue.Should().Be(native.HasValue, $"cut off at {bytes.Length}");
            if (ours is { } read)
            {
                read.Traits.Should().Be(native!.Value.Traits).And.HaveFlag(PictureTraits.Damaged);
                read.Planes.Zip(native.Value.Planes, (a, b) => Math.Abs(a - b)).Average().Should().BeLessThan(0.1, $"cut off at {bytes.Length}");
            }
        }
    }

    [Fact]
    public void What_is_no_picture_or_only_a_part_of_a_PNG_or_too_large_is_refused()
    {
        byte[] png = GoldenPictures.Bytes("colour.png"), bmp = [.. "BM6"u8, .. new byte[200]], vast = [.. GoldenPictures.Bytes("small.jpg")];
        int frame = vast.AsSpan().IndexOf((byte[])[0xFF, 0xC0]);
        vast.AsSpan(frame + 5, 4).Fill(0xF0); // height and width of 61680 pixels

        Refused(() => SkiaPicture.Look([])).WithMessage("neither a JPEG nor a PNG file");
        Refused(() => SkiaPicture.Look(bmp)).WithMessage("neither a JPEG nor a PNG file");
        Refused(() => SkiaPicture.Look([0xFF, 0xD8, 0xFF, 0xD9])).WithMessage("a JPEG file whose head is damaged*");
        Refused(() => SkiaPicture.Look(png.AsSpan(0, 40))).WithMessage("a PNG file whose head is damaged*");
        Refused(() => SkiaPicture.Look(vast)).WithMessage("a picture of 61680 x 61680 pixels");
        Refused(() => Read(png[..(png.Length / 2)], new PictureWindow(0, 0, 300, 260, 8, 8, 0, 0, 8, 8), flip: false)).WithMessage("*ends too early*");
        Refused(() => Read(png, new PictureWindow(0, 0, 300, 261, 8, 8, 0, 0, 8, 8), flip: false)).WithMessage("*not within its picture*");
        Refused(() => Read(png, new PictureWindow(0, 0, 300, 260, 8, 8, 0, int.MaxValue, 8, 8), flip: false)).WithMessage("*not within its picture*");
    }

    /// <summary>Whatever bytes a file has: pixels, or an error.</summary>
    [Fact]
    public void Bytes_that_were_changed_at_random_never_do_more_than_fail()
    {
        var random = new Random(7);
        int refused = 0, read = 0;
        foreach (string file in (string[])["small.jpg", "grey.jpg", "rotated.jpg", "cmyk.jpg", "portrait.jpg", "palette.png", "deep.png"])
        {
            foreach (byte[] bytes in GoldenPictures.Broken(file, 100, random))
            {
                _ = Outcome(SkiaPicture.Look, Read, bytes) is null ? refused++ : read++;
            }
        }

        read.Should().BeGreaterThan(50);
        refused.Should().BeGreaterThan(50);
    }

    private static void NeedReader() => Skip.IfNot(Picture.IsAvailable, "this build found no headers of libjpeg and libpng");

    private static FluentAssertions.Specialized.ExceptionAssertions<ExternalException> Refused(Action action) => action.Should().Throw<ExternalException>();

    private static (byte[] Planes, PictureTraits Traits) Read(byte[] bytes, PictureWindow window, bool flip)
    {
        var planes = new byte[3 * window.SideY * window.SideX];
        return (planes, SkiaPicture.Read(bytes, window, flip, planes));
    }

    private static (byte[] Planes, PictureTraits Traits) ReadNative(byte[] bytes, PictureWindow window, bool flip)
    {
        var planes = new byte[3 * window.SideY * window.SideX];
        return (planes, Picture.Read(bytes, window, flip, planes));
    }

    /// <summary>All of a file, small; null: refused.</summary>
    private static (byte[] Planes, PictureTraits Traits)? Outcome(Look look, Reader read, byte[] bytes)
    {
        try
        {
            return read(bytes, All(look(bytes), 8, 8), flip: false);
        }
        catch (ExternalException)
        {
            return null;
        }
    }

    private static PictureWindow All(PictureHead head, int rows, int columns) => new(0, 0, head.Height, head.Width, rows, columns, 0, 0, rows, columns);

    private static PictureWindow AnyWindow(Random random, int width, int height)
    {
        (int top, int left, int rows, int columns) = (random.Next(height), random.Next(width), random.Next(1, 100), random.Next(1, 100));
        (int row, int column) = (random.Next(rows), random.Next(columns));
        return new PictureWindow(
            top, left, random.Next(1, height - top + 1), random.Next(1, width - left + 1),
            rows, columns, row, column, random.Next(1, rows - row + 1), random.Next(1, columns - column + 1));
    }

    private delegate PictureHead Look(ReadOnlySpan<byte> file);

    private delegate (byte[] Planes, PictureTraits Traits) Reader(byte[] bytes, PictureWindow window, bool flip);
}
