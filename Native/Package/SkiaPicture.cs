using System.Buffers;
using System.Runtime.InteropServices;
using SkiaSharp;

namespace Imta.MetaWeight.Native;

/// <summary>Pictures by Skia, which TorchSharp's package comes with, for builds without the native library: read to what the native one reads.</summary>
internal static unsafe class SkiaPicture
{
    private const long MostPixels = 1L << 27; // beyond: no photograph, and more memory than a decoder should take unasked

    public static bool IsAvailable { get; } = Loads();

    public static PictureHead Look(ReadOnlySpan<byte> file)
    {
        PictureFile picture = Recognised(file);
        using SKCodec codec = Open(picture);
        return new PictureHead(codec.Info.Width, codec.Info.Height, Traits(picture, codec));
    }

    public static PictureTraits Read(ReadOnlySpan<byte> file, PictureWindow window, bool flip, Span<byte> planes)
    {
        PictureFile picture = Recognised(file);
        using SKCodec codec = Open(picture);
        // Of no colour space: none is converted to. Not premultiplied: colours stay what they are where they cannot be seen.
        var info = new SKImageInfo(codec.Info.Width, codec.Info.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul);
        DemandWindow(info, window);
        byte[] pixels = ArrayPool<byte>.Shared.Rent(info.BytesSize);
        try
        {
            PictureTraits damage = Decode(codec, info, picture, pixels.AsSpan(0, info.BytesSize));
            Resampling.Resample(pixels, info.Width, window, flip, planes);
            return Traits(picture, codec) | damage;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(pixels);
        }
    }

    private static bool Loads()
    {
        try
        {
            using SKData data = SKData.Create(1);
            return data is not null;
        }
        catch (Exception e) when (e is TypeInitializationException or DllNotFoundException or BadImageFormatException or EntryPointNotFoundException)
        {
            return false; // a machine that SkiaSharp has no library for
        }
    }

    private static PictureFile Recognised(ReadOnlySpan<byte> file) => PictureFile.TryRead(file, out PictureFile picture) ? picture : throw Refusal("neither a JPEG nor a PNG file");

    private static SKCodec Open(PictureFile picture)
    {
        using SKData data = SKData.Create(picture.Room);
        picture.CopyTo(new Span<byte>((void*)data.Data, picture.Room));
        SKCodec codec = SKCodec.Create(data) ?? throw Refusal($"{Name(picture)} whose head is damaged, or of a kind that Skia does not read");
        SKSizeI size = codec.Info.Size;
        if ((long)size.Width * size.Height is > 0 and <= MostPixels)
        {
            return codec;
        }

        codec.Dispose();
        throw Refusal($"a picture of {size.Width} x {size.Height} pixels");
    }

    private static PictureTraits Decode(SKCodec codec, SKImageInfo info, PictureFile picture, Span<byte> pixels)
    {
        SKCodecResult result;
        fixed (byte* target = pixels)
        {
            result = codec.GetPixels(info, (nint)target);
        }

        bool isPartial = result is SKCodecResult.IncompleteInput or SKCodecResult.ErrorInInput;
        if (result != SKCodecResult.Success && (picture.IsPng || !isPartial))
        {
            throw Refusal($"{Name(picture)} {(result == SKCodecResult.IncompleteInput ? "that ends too early" : $"that Skia cannot decode ({result})")}");
        }

        if (picture.IsDeepGrey)
        {
            CutOff(pixels);
        }

        return isPartial || picture.IsCutOff ? PictureTraits.Damaged : PictureTraits.None;
    }

    // The upper 8 bits are red, the lower ones alpha.
    private static void CutOff(Span<byte> pixels)
    {
        for (int at = 0; at < pixels.Length; at += 4)
        {
            pixels.Slice(at, 3).Fill(pixels[at] == 0 ? pixels[at + 3] : byte.MaxValue);
        }
    }

    private static PictureTraits Traits(PictureFile picture, SKCodec codec)
        => picture.Traits | (!picture.IsPng && codec.EncodedOrigin != SKEncodedOrigin.TopLeft ? PictureTraits.Rotated : 0);

    private static void DemandWindow(SKImageInfo picture, PictureWindow w)
    {
        bool isInside = w is { Top: >= 0, Left: >= 0, Height: > 0, Width: > 0, Row: >= 0, Column: >= 0, SideY: > 0, SideX: > 0, Rows: <= 1 << 28, Columns: <= 1 << 28 }
            && (long)w.Top + w.Height <= picture.Height && (long)w.Left + w.Width <= picture.Width && (long)w.Row + w.SideY <= w.Rows && (long)w.Column + w.SideX <= w.Columns;
        if (!isInside)
        {
            throw Refusal("a window that is not within its picture");
        }
    }

    private static string Name(PictureFile picture) => picture.IsPng ? "a PNG file" : "a JPEG file";

#pragma warning disable CA2201 // the type that the native library's errors have
    private static ExternalException Refusal(string why) => new(why);
#pragma warning restore CA2201
}
