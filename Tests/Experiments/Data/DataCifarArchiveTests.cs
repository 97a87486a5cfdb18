using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using Imta.MetaWeight.Experiments.Commands;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

/// <summary>Archives in the official layout, of a few images: unpacked in full or not at all.</summary>
public sealed class DataCifarArchiveTests : IDisposable
{
    private const int PerFile = 10;

    private static readonly CifarFormat Ten = CifarFormat.Cifar10 with { TrainImages = 5 * PerFile, TestImages = PerFile };
    private static readonly CifarFormat Hundred = CifarFormat.Cifar100 with { TrainImages = PerFile, TestImages = PerFile };

    private readonly TemporaryFolder _folder = new();
    private readonly List<TarEntry> _entries = [];

    private string Archive => _folder.In("archive.tar.gz");

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("cifar10")]
    [InlineData("cifar100")]
    public async Task The_files_are_those_that_the_reader_takes(string key)
    {
        CifarFormat format = key == "cifar10" ? Ten : Hundred;
        using var files = new DataCifarFolder(format, PerFile);
        AddAll(format, files);
        Add($"{format.Folder}/readme.html", "not for us");

        string folder = await Unpack(format);

        folder.Should().Be(_folder.In(format.Folder));
        FilesIn(folder).Should().BeEquivalentTo(format.Files);
        var warnings = new List<string>();
        var (train, test, _) = CifarReader.Read(format, _folder.Path, warnings);
        using (train)
        using (test)
        {
            (train.Count, test.Count).Should().Be((format.TrainImages, format.TestImages));
        }

        warnings.Should().BeEmpty();
        CifarArchive.CompleteFolder(format, _folder.Path).Should().Be(folder);
        CifarArchive.CompleteFolder(format, folder).Should().Be(folder, "the reader takes the folder itself too");
    }

    [Fact]
    public async Task Class_names_come_along()
    {
        using var files = new DataCifarFolder(Ten, PerFile);
        AddAll(Ten, files);
        Add($"{Ten.Folder}/{Ten.NamesFile}", "airplane\n");

        File.ReadAllText(Path.Combine(await Unpack(Ten), Ten.NamesFile)).Should().Be("airplane\n");
    }

    [Theory]
    [InlineData("../outside.bin")]
    [InlineData("../cifar-10-batches-bin/data_batch_1.bin")]
    [InlineData("cifar-10-batches-bin/../../outside.bin")]
    [InlineData("/tmp/imta-outside.bin")]
    [InlineData("data_batch_1.bin")]
    public async Task Entries_elsewhere_are_not_unpacked(string name)
    {
        using var files = new DataCifarFolder(Ten, PerFile);
        AddAll(Ten, files);
        Add(name, "evil");

        string folder = await Unpack(Ten);

        FilesIn(_folder.Path).Should().BeEquivalentTo("archive.tar.gz", Ten.Folder);
        FilesIn(folder).Should().BeEquivalentTo(Ten.Files);
        CifarArchive.FindProblem(Ten, folder).Should().BeNull();
        File.Exists("/tmp/imta-outside.bin").Should().BeFalse();
    }

    [Fact]
    public async Task A_link_is_no_file()
    {
        using var files = new DataCifarFolder(Ten, PerFile);
        AddAll(Ten, files, but: "data_batch_3.bin");
        _entries.Add(
            new PaxTarEntry(TarEntryType.SymbolicLink, $"{Ten.Folder}/data_batch_3.bin") { LinkName = files.PathOf("data_batch_3.bin") });

        (await Failure(Ten)).Should().Contain("data_batch_3.bin is missing").And.Contain("archive.tar.gz");
    }

    [Fact]
    public async Task A_missing_file_is_named()
    {
        using var files = new DataCifarFolder(Ten, PerFile);
        AddAll(Ten, files, but: "data_batch_3.bin");

        (await Failure(Ten)).Should().Contain("data_batch_3.bin is missing");
    }

    [Theory]
    [InlineData("data_batch_3.bin")]
    [InlineData("batches.meta.txt")]
    public async Task A_file_of_another_length_is_named(string name)
    {
        using var files = new DataCifarFolder(Ten, PerFile);
        AddAll(Ten, files, but: "data_batch_3.bin");
        Add($"{Ten.Folder}/{name}", new string('x', 100_000));

        (await Failure(Ten)).Should().Contain($"{name} has 100000 bytes");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public async Task A_damaged_archive_is_told(int damage)
    {
        using var files = new DataCifarFolder(Ten, PerFile);
        AddAll(Ten, files);
        WriteArchive();
        byte[] whole = File.ReadAllBytes(Archive);
        byte[] damaged = damage switch
        {
            0 => whole[..(whole.Length / 2)],
            1 => [.. whole[..1000], .. new byte[1000], .. whole[2000..]],
            _ => [.. "no archive at all"u8],
        };
        File.WriteAllBytes(Archive, damaged);

        (await Failure(Ten, write: false)).Should().Contain("archive.tar.gz");
    }

    [Fact]
    public async Task What_an_earlier_attempt_left_does_not_matter()
    {
        using var files = new DataCifarFolder(Ten, PerFile);
        AddAll(Ten, files);
        Directory.CreateDirectory(_folder.In(Ten.Folder + ".partial", "junk"));
        Directory.CreateDirectory(_folder.In(Ten.Folder));

        FilesIn(await Unpack(Ten)).Should().BeEquivalentTo(Ten.Files);
    }

    [Fact]
    public async Task A_folder_that_holds_something_is_left_alone()
    {
        using var files = new DataCifarFolder(Ten, PerFile);
        AddAll(Ten, files);
        Directory.CreateDirectory(_folder.In(Ten.Folder));
        File.WriteAllText(_folder.In(Ten.Folder, "notes.txt"), "precious");
        WriteArchive();

        Func<Task> unpacking = () => CifarArchive.UnpackAsync(Ten, Archive, _folder.Path, default);

        await unpacking.Should().ThrowAsync<IOException>();
        File.ReadAllText(_folder.In(Ten.Folder, "notes.txt")).Should().Be("precious");
        FilesIn(_folder.Path).Should().BeEquivalentTo("archive.tar.gz", Ten.Folder);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_whole_way_fetches_unpacks_and_clears_up(bool archiveByHand)
    {
        using var files = new DataCifarFolder(Ten, PerFile);
        AddAll(Ten, files);
        WriteArchive();
        byte[] archive = File.ReadAllBytes(Archive);
        CifarFormat format = Ten with { ArchiveMd5 = Md5(archive) };
        using var server = new ArchiveServer(format.Archive, archive);
        using var http = new HttpClient();
        string root = _folder.In("data");
        if (archiveByHand)
        {
            Directory.CreateDirectory(root);
            File.WriteAllBytes(Path.Combine(root, format.Archive), archive);
        }

        await DataCommand.EnsureAsync(format, root, server.Folder, http, default);
        await DataCommand.EnsureAsync(format, root, server.Folder, http, default);

        server.Requests.Should().HaveCount(archiveByHand ? 0 : 1);
        FilesIn(root).Should().BeEquivalentTo(archiveByHand ? [format.Folder, format.Archive] : [format.Folder]);
        CifarArchive.CompleteFolder(format, root).Should().NotBeNull();
    }

    [Fact]
    public async Task An_archive_put_there_by_hand_with_another_sum_is_refused()
    {
        File.WriteAllText(_folder.In(Ten.Archive), "something else");
        using var http = new HttpClient();

        Func<Task> obtaining = () => DataCommand.EnsureAsync(Ten, _folder.Path, new Uri(CifarFormat.ArchiveFolder), http, default);

        (await obtaining.Should().ThrowAsync<UsageException>()).Which.Message.Should()
            .Contain(Ten.ArchiveMd5).And.Contain(Md5("something else"u8.ToArray()));
        File.Exists(_folder.In(Ten.Archive)).Should().BeTrue();
    }

    private static IEnumerable<string?> FilesIn(string folder) => Directory.EnumerateFileSystemEntries(folder).Select(Path.GetFileName);

#pragma warning disable CA5351 // the sum that archives are published with
    private static string Md5(byte[] content) => Convert.ToHexStringLower(MD5.HashData(content));
#pragma warning restore CA5351

    private void AddAll(CifarFormat format, DataCifarFolder files, string? but = null)
    {
        _entries.Add(new PaxTarEntry(TarEntryType.Directory, format.Folder + "/"));
        foreach (string name in format.Files.Where(name => name != but))
        {
            Add($"{format.Folder}/{name}", File.ReadAllBytes(files.PathOf(name)));
        }
    }

    private void Add(string name, string text) => Add(name, System.Text.Encoding.UTF8.GetBytes(text));

    private void Add(string name, byte[] content)
        => _entries.Add(new PaxTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(content) });

    private void WriteArchive()
    {
        using FileStream file = File.Create(Archive);
        using var zipped = new GZipStream(file, CompressionLevel.Fastest);
        using var writer = new TarWriter(zipped);
        _entries.ForEach(writer.WriteEntry);
    }

    private Task<string> Unpack(CifarFormat format)
    {
        WriteArchive();
        return CifarArchive.UnpackAsync(format, Archive, _folder.Path, default);
    }

    private async Task<string> Failure(CifarFormat format, bool write = true)
    {
        if (write)
        {
            WriteArchive();
        }

        Func<Task> unpacking = () => CifarArchive.UnpackAsync(format, Archive, _folder.Path, default);
        string message = (await unpacking.Should().ThrowAsync<IOException>()).Which.Message;
        message.Should().NotContain("\n");
        FilesIn(_folder.Path).Should().Equal("archive.tar.gz");
        return message;
    }
}
