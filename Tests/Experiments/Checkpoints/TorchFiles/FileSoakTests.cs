using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Xunit.Abstractions;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Damaged files through every reader. Some seconds by default; the environment variable IMTA_SOAK says how many files to try instead.
/// Tensors of the whole process are counted, so no other test runs beside it.
/// </summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class FileSoakTests(ITestOutputHelper output)
{
    private const int FilesByDefault = 4000;

    private static readonly FileSoak.Reader Reader = new("TorchFileReader", file => TorchFileReader.Read(file));
    private static readonly FileSoak.Reader Describer = new(
        "TorchFileReader without elements", file => TorchFileReader.Read(file, elements: false));
    private static readonly FileSoak.Reader Tensors = new("Safetensors", file => Safetensors.Read(file));

    [Fact]
    public void Damaged_files_are_read_or_refused_and_leave_no_tensor()
    {
        byte[] zip = File.ReadAllBytes(GoldenFiles.Find("pytorch_files/dtypes_zip.pt"));
        byte[] zipViews = File.ReadAllBytes(GoldenFiles.Find("pytorch_files/views_zip.pt"));
        byte[] legacy = File.ReadAllBytes(GoldenFiles.Find("pytorch_files/dtypes_legacy.pt"));
        byte[] legacyViews = File.ReadAllBytes(GoldenFiles.Find("pytorch_files/views_legacy.pt"));
        byte[] safetensors = Sample();
        (FileSoak.Reader Reader, byte[] Sound, int Seed, Func<byte[], Random, byte[]> Damage)[] soaks =
        [
            (Reader, zip, 101, FileSoak.Damage),
            (Reader, zip, 102, HostileFileTests.DamagePickle),
            (Reader, zipViews, 103, HostileFileTests.DamagePickle),
            (Reader, legacy, 104, FileSoak.Damage),
            (Reader, legacyViews, 105, FileSoak.Damage),
            (Describer, legacyViews, 106, FileSoak.Damage),
            (Reader, OpaqueValuesTests.Sample(), 109, HostileFileTests.DamagePickle),
            (Reader, LegacyFileTests.TextSample(), 110, FileSoak.Damage),
            (Tensors, safetensors, 107, FileSoak.Damage),
            (Tensors, safetensors, 108, DamageHeader),
        ];
        int rounds = FileSoak.Rounds(FilesByDefault) / soaks.Length;
        NativeMemoryCollection.Settle();
        long live = Tensor.TotalCount;

        foreach (var soak in soaks)
        {
            (int read, int refused) = FileSoak.Run(soak.Reader, soak.Sound, soak.Seed, rounds, soak.Damage);
            output.WriteLine($"{soak.Reader.Name}, seed {soak.Seed}: {rounds} damaged files, {read} read, {refused} refused");
            read.Should().BePositive();
            refused.Should().BePositive();
        }

        NativeMemoryCollection.Settle();
        Tensor.TotalCount.Should().Be(live);
    }

    /// <summary>The header alone, and its length with it; half of the time only its digits, so that it stays JSON.</summary>
    private static byte[] DamageHeader(byte[] file, Random random)
    {
        const int LengthBytes = sizeof(long);
        int end = LengthBytes + (int)BitConverter.ToInt64(file);
        byte[] header = random.Next(2) == 0 ? FileSoak.Damage(file[LengthBytes..end], random) : OtherDigits(file[LengthBytes..end], random);
        return [.. BitConverter.GetBytes((long)header.Length), .. header, .. file[end..]];
    }

    private static byte[] OtherDigits(byte[] header, Random random)
    {
        int[] digits = [.. Enumerable.Range(0, header.Length).Where(i => char.IsAsciiDigit((char)header[i]))];
        for (int changes = random.Next(1, 4); changes > 0; changes--)
        {
            header[digits[random.Next(digits.Length)]] = (byte)('0' + random.Next(10));
        }

        return header;
    }

    private static byte[] Sample()
    {
        using var scope = NewDisposeScope();
        var stream = new MemoryStream();
        Safetensors.Write(stream, new Dictionary<string, Tensor>
        {
            ["half"] = ones([3, 2], ScalarType.Float16),
            ["bool"] = ones([5], ScalarType.Bool),
            ["long.ü"] = arange(Held(0), Held(4), One),
            ["empty"] = zeros([0, 3]),
            ["scalar"] = tensor(0.5),
        });
        return stream.ToArray();
    }
}
