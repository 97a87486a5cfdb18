using System.Buffers.Binary;
using Imta.MetaWeight.Experiments.Data.Pictures;
using SkiaSharp;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary>WebP and BMP, whose pixels are known because they were written losslessly.</summary>
public sealed class PictureFormatTests
{
    private const int Width = 37, Height = 23;
    private static readonly SKBitmap Picture = Noise(Width, Height);

    public static TheoryData<string> Kinds => ["webp", "bmp24", "bmp32", "bmp24 from the top"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Pixels_are_those_that_were_written(string kind)
    {
        byte[] planes = Read(Encoded(kind), out ImageTraits traits);

        traits.Should().Be(kind == "webp" ? ImageTraits.Webp : ImageTraits.Bmp);
        for (int y = 0; y < Height; y++)
        {
            for (int x = 0; x < Width; x++)
            {
                SKColor colour = Picture.GetPixel(x, y);
                int at = (y * Width) + x;
                (planes[at], planes[at + (Width * Height)], planes[at + (2 * Width * Height)]).Should()
                    .Be((colour.Red, colour.Green, colour.Blue));
            }
        }
    }

    /// <summary>As Pillow's <c>convert("RGB")</c>.</summary>
    [Fact]
    public void Transparency_of_a_WebP_is_dropped()
    {
        using var transparent = Picture.Copy();
        for (int x = 0; x < Width; x++)
        {
            transparent.SetPixel(x, 0, transparent.GetPixel(x, 0).WithAlpha((byte)(1 + x)));
        }

        Read(WebP(transparent, SKWebpEncoderCompression.Lossless), out _).Should().Equal(Read(Encoded("webp"), out _));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void What_is_cut_off_is_refused_and_what_is_changed_at_random_does_no_more_than_fail(string kind)
    {
        byte[] whole = Encoded(kind);
        FluentActions.Invoking(() => Read(whole[..(whole.Length / 2)], out _)).Should().Throw<InvalidDataException>();
        var random = new Random(7);
        int read = 0;
        for (int time = 0; time < 200; time++)
        {
            byte[] bytes = [.. whole];
            for (int change = random.Next(1, 10); change > 0; change--)
            {
                bytes[random.Next(time % 2 == 0 ? 60 : bytes.Length)] = (byte)random.Next(256);
            }

            try
            {
                Read(bytes, out _, side: 8);
                read++;
            }
            catch (InvalidDataException)
            {
                // One of the two.
            }
        }

        read.Should().BeInRange(1, 199);
    }

    internal static SKBitmap Noise(int width, int height)
    {
        var random = new Random(3);
        var bitmap = new SKBitmap(new SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Unpremul));
        for (int at = 0; at < width * height; at++)
        {
            bitmap.SetPixel(at % width, at / width, new SKColor((uint)random.Next()).WithAlpha(byte.MaxValue));
        }

        return bitmap;
    }

    internal static byte[] WebP(SKBitmap bitmap, SKWebpEncoderCompression compression)
    {
        using SKPixmap pixels = bitmap.PeekPixels();
        using SKData? data = pixels.Encode(new SKWebpEncoderOptions(compression, 100));
        return data!.ToArray();
    }

    /// <summary>Rows from the bottom, or with a negative height from the top, each padded to four bytes; blue, green, red.</summary>
    internal static byte[] Bmp(SKBitmap bitmap, short bits, bool fromTop = false)
    {
        int stride = ((bitmap.Width * bits / 8) + 3) / 4 * 4;
        var file = new byte[54 + (stride * bitmap.Height)];
        "BM"u8.CopyTo(file);
        foreach ((int at, int value) in (ReadOnlySpan<(int, int)>)
        [
            (2, file.Length), (10, 54), (14, 40), (18, bitmap.Width), (22, fromTop ? -bitmap.Height : bitmap.Height),
            (26, 1 + (bits << 16)),
        ])
        {
            BinaryPrimitives.WriteInt32LittleEndian(file.AsSpan(at), value);
        }

        for (int y = 0; y < bitmap.Height; y++)
        {
            for (int x = 0; x < bitmap.Width; x++)
            {
                SKColor colour = bitmap.GetPixel(x, y);
                int at = 54 + (stride * (fromTop ? y : bitmap.Height - 1 - y)) + (x * bits / 8);
                (file[at], file[at + 1], file[at + 2]) = (colour.Blue, colour.Green, colour.Red);
            }
        }

        return file;
    }

    private static byte[] Encoded(string kind) => kind switch
    {
        "webp" => WebP(Picture, SKWebpEncoderCompression.Lossless),
        "bmp32" => Bmp(Picture, 32),
        "bmp24" => Bmp(Picture, 24),
        _ => Bmp(Picture, 24, fromTop: true),
    };

    /// <summary>As it is, or small.</summary>
    private static byte[] Read(byte[] file, out ImageTraits traits, int? side = null)
    {
        using var picture = ImageDecoder.Open(file);
        ImageWindow window = side is { } small
            ? new(0, 0, picture.Header.Height, picture.Header.Width, small, small, 0, 0, small, small)
            : ImageWindow.All(picture.Header);
        var planes = new byte[3 * window.SideY * window.SideX];
        traits = picture.Read(window, flip: false, planes);
        return planes;
    }
}
