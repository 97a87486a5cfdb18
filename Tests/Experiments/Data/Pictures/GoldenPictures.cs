using System.Runtime.CompilerServices;
using CsvHelper;
using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data.Pictures;
using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary>What torchvision 0.14.1 made of pictures (<c>Torchvision/make.py</c>).</summary>
internal static partial class GoldenPictures
{
    public static IReadOnlyList<Row> Rows { get; } = CsvTable.Read<Row>(Folder("pictures.csv"));

    public static IEnumerable<Row> WithFile => Rows.Where(row => row.File.Length > 0);

    public static byte[] Bytes(string file) => File.ReadAllBytes(Folder(file));

    /// <summary>
    /// JPEGs of every usual sampling of colours, plain, progressive, with restarts, arithmetically coded (<c>Sampling/make.sh</c>), and
    /// torchvision's.
    /// </summary>
    public static IEnumerable<string> Jpegs
        => Directory.GetFiles(Folder("../Sampling"), "*.jpg").Select(file => Path.Combine("../Sampling", Path.GetFileName(file)))
        .Concat(WithFile.Select(row => row.File).Where(file => file.EndsWith(".jpg", StringComparison.Ordinal)))
        .Order(StringComparer.Ordinal);

    /// <summary>The pixels of a picture as they are, <c>[3, H, W]</c>.</summary>
    public static byte[] Pixels(string file)
    {
        using var picture = ImageDecoder.Open(Bytes(file));
        var planes = new byte[3 * picture.Header.Width * picture.Header.Height];
        picture.Read(ImageWindow.All(picture.Header), flip: false, planes);
        return planes;
    }

    /// <summary>A copy of a file, cut off after its half and changed at random, as often as not near its head alone.</summary>
    public static byte[] Broken(string file, Random random)
    {
        byte[] whole = Bytes(file);
        byte[] bytes = [.. whole[..random.Next(whole.Length / 2, whole.Length + 1)]];
        int reach = random.Next(2) == 0 ? 700 : bytes.Length;
        for (int change = random.Next(1, 20); change > 0; change--)
        {
            bytes[random.Next(Math.Min(bytes.Length, reach))] = (byte)random.Next(256);
        }

        return bytes;
    }

    private static string Folder(string file, [CallerFilePath] string here = "")
        => Path.GetFullPath(Path.Combine(here, "../Torchvision", file));

    /// <summary>A picture and torchvision's crop of it; without a file the crop alone.</summary>
    [CsvRecord]
    internal sealed partial record Row
    {
        [CsvColumn("file")]
        public required string File { get; init; }

        [CsvColumn("width")]
        public required int Width { get; init; }

        [CsvColumn("height")]
        public required int Height { get; init; }

        [CsvColumn("area_share")]
        public required double AreaShare { get; init; }

        [CsvColumn("aspect_ratio")]
        public required double AspectRatio { get; init; }

        [CsvColumn("failed_tries")]
        public required int FailedTries { get; init; }

        [CsvColumn("top")]
        public required int Top { get; init; }

        [CsvColumn("left")]
        public required int Left { get; init; }

        [CsvColumn("height_of_crop")]
        public required int CropHeight { get; init; }

        [CsvColumn("width_of_crop")]
        public required int CropWidth { get; init; }
    }
}
