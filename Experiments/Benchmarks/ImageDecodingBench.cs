using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// The pipeline from JPEG files to 224 × 224 crops, single-threaded, and <c>djpeg</c>, libjpeg's own program, on the same files.
/// </summary>
internal sealed class ImageDecodingBench : IDisposable
{
    private const int Count = 96;
    private const int Width = 500;
    private const int Height = 375;
    private const int Quality = 90;

    private readonly string[] _files;
    private readonly long _seed;
    private readonly string? _made; // a temporary folder
    private int _epoch;

    private ImageDecodingBench(string[] files, long seed, string? made) => (_files, _seed, _made) = (files, seed, made);

    /// <summary>The number of images decoded per repetition.</summary>
    public int Pictures => _files.Length;

    /// <summary>Measures on a sample of ImageNet's training images, evenly spread over the classes.</summary>
    /// <exception cref="UsageException">The folder does not contain ImageNet.</exception>
    public static ImageDecodingBench FromFolder(string folder, long seed)
    {
        ImageFolder train = ImageNetFolders.Read(folder).Train;
        int count = Math.Min(Count, train.Files.Count);
        string[] files =
        [
            .. Enumerable.Range(0, count).Select(k => Path.Combine(train.Root, train.Files[(int)((long)k * train.Files.Count / count)]))
                .Where(IsJpeg),
        ];
        return files.Length > 0
            ? new ImageDecodingBench(files, seed, null)
            : throw new UsageException($"{train.Root} has no JPEG files for djpeg to read");
    }

    /// <summary>Measures on smoothed-noise images made by <c>cjpeg</c>, of ImageNet's typical size.</summary>
    /// <exception cref="UsageException">There is no <c>cjpeg</c>.</exception>
    public static ImageDecodingBench FromNoise(long seed)
    {
        string folder = Directory.CreateTempSubdirectory("imta-pictures").FullName;
        using Generator random = SeedSequence.Generator(seed, "PictureBench");
        string[] files = [.. Enumerable.Range(0, Count).Select(k => Path.Combine(folder, FormattableString.Invariant($"{k}.jpg")))];
        var bench = new ImageDecodingBench(files, seed, folder);
        try
        {
            foreach (string file in files)
            {
                File.WriteAllBytes(file + ".ppm", Noise(random));
                Run("cjpeg", "-quality", Quality.ToString(CultureInfo.InvariantCulture), "-outfile", file, file + ".ppm");
            }

            return bench;
        }
        catch
        {
            bench.Dispose();
            throw;
        }
    }

    /// <summary>Seconds per image: read, decode, crop, resize, flip.</summary>
    public BenchmarkCase Decoded() => new("decoded", () =>
    {
        using DisposeScope scope = NewDisposeScope();
        using Generator random = SeedSequence.Generator(_seed, SeedSequence.Augmentation, _epoch++);
        ImageBatchRequest job = new(_files, RandomCropDraws.Sample(_files.Length, random), []);
        var clock = Stopwatch.StartNew();
        var tally = new ImageReadStatistics(line => throw new UsageException(line));
        foreach ((_, Tensor pixels) in new ImageBatchLoader(1, ImageTransform.ImageNet, tally).Read([job]))
        {
            pixels.Dispose();
        }

        return clock.Elapsed.TotalSeconds / _files.Length;
    });

    /// <summary>Seconds per image: read and decoded by a <c>djpeg</c> process.</summary>
    /// <exception cref="UsageException">There is no <c>djpeg</c>.</exception>
    public BenchmarkCase Djpeg() => new("djpeg", () =>
    {
        var clock = Stopwatch.StartNew();
        Run("sh", ["-c", "for file in \"$@\"; do djpeg -outfile /dev/null \"$file\" || test $? = 2 || exit; done", "djpeg", .. _files]);
        return clock.Elapsed.TotalSeconds / _files.Length;
    });

    public void Dispose()
    {
        if (_made is not null)
        {
            Directory.Delete(_made, recursive: true);
        }
    }

    private static bool IsJpeg(string file) => ImageInspection.Inspect(file).Head is { } head && !head.Traits.HasFlag(ImageTraits.Png);

    /// <summary>An image in netpbm format: upsampled 16 × 12 noise plus a little per-pixel noise.</summary>
    private static byte[] Noise(Generator random)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor coarse = nn.functional.interpolate(
            rand([1, 3, 12, 16], generator: random), [Height, Width], mode: InterpolationMode.Bilinear, align_corners: true);
        Tensor pixels = coarse.mul(Held(225)).add(rand([1, 3, Height, Width], generator: random), Held(30))
            .to_type(ScalarType.Byte).squeeze(0).permute(1, 2, 0).contiguous();
        return
        [
            .. System.Text.Encoding.ASCII.GetBytes(FormattableString.Invariant($"P6 {Width} {Height} 255\n")), .. pixels.ToArray<byte>(),
        ];
    }

    private static void Run(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            string error = process.StandardError.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode != 0)
            {
                throw Failed(error.Trim().ReplaceLineEndings(" "));
            }
        }
        catch (Win32Exception e)
        {
            throw Failed(e.Message);
        }
    }

    private static UsageException Failed(string why) => new($"bench data --imagenet runs djpeg and cjpeg, which failed: {why}; "
        + "if they are missing, install them (Debian: apt-get install libjpeg-turbo-progs)");
}
