namespace Imta.MetaWeight.Native;

/// <summary>Pictures by libjpeg and libpng (<c>src/image.cpp</c>).</summary>
internal static unsafe class NativePicture
{
    public static bool IsAvailable { get; } = Runtime.IsAvailable && NativeMethods.ImageAvailable() != 0;

    public static PictureHead Look(ReadOnlySpan<byte> file)
    {
        int* shape = stackalloc int[3];
        fixed (byte* bytes = file)
        {
            Runtime.Check(NativeMethods.ImageLook(bytes, file.Length, shape));
        }

        return new PictureHead(shape[0], shape[1], (PictureTraits)shape[2]);
    }

    public static PictureTraits Read(ReadOnlySpan<byte> file, PictureWindow window, bool flip, Span<byte> planes)
    {
        fixed (byte* bytes = file, target = planes)
        {
            return (PictureTraits)Runtime.Check(NativeMethods.ImageRead(bytes, file.Length, (int*)&window, flip ? 1 : 0, target));
        }
    }
}
