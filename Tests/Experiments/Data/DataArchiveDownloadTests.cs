using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

/// <summary>Downloads from a server on this machine: whatever happens, the right file, or none and what came of it.</summary>
public sealed class DataArchiveDownloadTests : IDisposable
{
    private const string Name = "archive.tar.gz";

    private static readonly byte[] Content = Bytes(500_000, seed: 1);

    private readonly TemporaryFolder _folder = new();
    private readonly HttpClient _http = new();

    private string Target => _folder.In(Name);

    private string Part => Target + ".part";

    public void Dispose()
    {
        _http.Dispose();
        _folder.Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_whole_file_arrives(bool saysLength)
    {
        using var server = new ArchiveServer(Name, Content) { SaysLength = saysLength };
        var reports = new List<(long Here, long? Total)>();

        await Download(server, progress: reports.Add);

        ShouldBeComplete();
        server.Requests.Should().Equal("all");
        reports[0].Should().Be((0, saysLength ? Content.Length : null));
        reports[^1].Should().Be((Content.Length, saysLength ? Content.Length : null));
        reports.Select(report => report.Here).Should().BeInAscendingOrder();
    }

    [Fact]
    public async Task A_cut_connection_is_made_again_and_goes_on_where_it_was()
    {
        using var server = new ArchiveServer(Name, Content) { Cuts = [1000, 200_000, 1] };

        await Download(server);

        ShouldBeComplete();
        server.Requests.Should().Equal("all", "bytes=1000- if \"one\"", "bytes=201000- if \"one\"", "bytes=201001- if \"one\"");
    }

    [Fact]
    public async Task A_server_that_falls_silent_counts_as_cut()
    {
        using var server = new ArchiveServer(Name, Content) { HoldAfter = 1000 };

        await Download(server, silence: TimeSpan.FromSeconds(3));

        ShouldBeComplete();
        server.Requests.Should().Equal("all", "bytes=1000- if \"one\"");
    }

    [Fact]
    public async Task After_many_cuts_without_a_byte_it_gives_up_and_keeps_what_came()
    {
        using var server = new ArchiveServer(Name, Content) { Cuts = [1_000, 0, 0, 0, 0, 0, 0, 0] };

        string message = await Failure<IOException>(server);

        message.Should().Contain($"{server.File}").And.Contain(Part).And.Contain("run the same command to resume");
        server.Requests.Should().HaveCount(6, "one that brought something, and five more");
        new FileInfo(Part).Length.Should().Be(1000);
    }

    [Fact]
    public async Task A_server_that_always_begins_anew_and_is_always_cut_is_given_up()
    {
        using var server = new ArchiveServer(Name, Content)
        {
            TakesRanges = false,
            Cuts = [1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000],
        };

        await Failure<IOException>(server);

        server.Requests.Should().HaveCount(6);
    }

    [Theory]
    [InlineData("ETag: \"one\"", " if \"one\"")]
    [InlineData("Last-Modified: Thu, 04 Jun 2009 20:02:28 GMT", " if Thu, 04 Jun 2009 20:02:28 GMT")]
    [InlineData("ETag: W/\"weak\"", "")]
    [InlineData("Server: none", "")]
    public async Task A_stopped_download_goes_on_in_another_one(string version, string condition)
    {
        using var server = new ArchiveServer(Name, Content) { Version = [version] };
        await StopAfter(server, 123_456);
        var reports = new List<(long Here, long? Total)>();

        await Download(server, progress: reports.Add);

        ShouldBeComplete();
        server.Requests.Should().Equal("all", $"bytes=123456-{condition}");
        reports[0].Should().Be((123_456, Content.Length));
    }

    [Fact]
    public async Task A_server_without_ranges_starts_anew()
    {
        using var server = new ArchiveServer(Name, Content) { TakesRanges = false };
        await StopAfter(server, 1000);

        await Download(server);

        ShouldBeComplete();
        server.Requests.Should().Equal("all", "bytes=1000- if \"one\"");
    }

    [Fact]
    public async Task A_server_that_answers_another_range_is_asked_for_all()
    {
        using var server = new ArchiveServer(Name, Content) { MistakesRanges = true };
        await StopAfter(server, 1000);

        await Download(server);

        ShouldBeComplete();
        server.Requests.Should().Equal("all", "bytes=1000- if \"one\"", "all");
    }

    [Theory]
    [InlineData("ETag: \"two\"")]
    [InlineData("Last-Modified: Fri, 05 Jun 2009 20:02:28 GMT")]
    public async Task A_file_that_changed_on_the_server_starts_anew(string changed)
    {
        using var server = new ArchiveServer(Name, Bytes(400_000, seed: 2));
        await StopAfter(server, 1000);
        (server.Content, server.Version) = (Content, [changed]);

        await Download(server);

        ShouldBeComplete();
    }

    [Fact]
    public async Task A_whole_part_is_not_fetched_again()
    {
        using var server = new ArchiveServer(Name, Content);
        File.WriteAllBytes(Part, Content);

        await Download(server);

        ShouldBeComplete();
        server.Requests.Should().Equal($"bytes={Content.Length}-");
    }

    [Fact]
    public async Task A_part_longer_than_the_file_starts_anew()
    {
        using var server = new ArchiveServer(Name, Content);
        File.WriteAllBytes(Part, [.. Content, 0]);

        await Download(server);

        ShouldBeComplete();
        server.Requests.Should().Equal($"bytes={Content.Length + 1}-", "all");
    }

    [Fact]
    public async Task A_wrong_sum_is_told_and_nothing_is_kept()
    {
        byte[] other = Bytes(400_000, seed: 2);
        using var server = new ArchiveServer(Name, other);

        string message = await Failure<IOException>(server);

        message.Should().Contain(Md5(Content)).And.Contain(Md5(other)).And.Contain($"{server.File}");
        FilesLeft().Should().BeEmpty();
    }

    [Fact]
    public async Task A_part_of_another_file_ends_in_a_wrong_sum_and_the_next_attempt_is_right()
    {
        using var server = new ArchiveServer(Name, Content) { Version = [] };
        File.WriteAllBytes(Part, Bytes(1000, seed: 3));

        await Failure<IOException>(server);
        await Download(server);

        ShouldBeComplete();
    }

    [Fact]
    public async Task A_file_that_the_server_does_not_have_is_told()
    {
        using var server = new ArchiveServer("another.tar.gz", Content);

        string message = await Failure<IOException>(() => Download(new Uri(server.Folder, Name)));

        message.Should().Contain("404 Not Found").And.Contain("--from");
        FilesLeft().Should().BeEmpty();
    }

    [Fact]
    public async Task Without_a_server_it_says_so_at_once_and_leaves_nothing()
    {
        var nobody = new TcpListener(IPAddress.Loopback, 0);
        nobody.Start();
        var address = new Uri($"http://127.0.0.1:{((IPEndPoint)nobody.LocalEndpoint).Port}/{Name}");
        nobody.Stop();

        string message = await Failure<IOException>(() => Download(address, pause: TimeSpan.FromHours(1)));

        message.Should().Contain($"{address}").And.Contain("Connection refused").And.Contain("by hand");
        FilesLeft().Should().BeEmpty();
    }

    [Fact]
    public async Task A_place_that_cannot_be_written_is_refused_before_anything_is_asked_for()
    {
        using var server = new ArchiveServer(Name, Content);
        Directory.CreateDirectory(Part);

        string message = await Failure<UsageException>(server);

        message.Should().Contain(Part).And.Contain("--data");
        server.Requests.Should().BeEmpty();
    }

    [Fact]
    public async Task A_full_disk_is_told()
    {
        Skip.IfNot(File.Exists("/dev/full"), "there is no /dev/full");
        using var server = new ArchiveServer(Name, Content);
        File.CreateSymbolicLink(Part, "/dev/full");

        string message = await Failure<IOException>(server);

        message.Should().Contain("No space left").And.Contain(Part);
    }

    [Fact]
    public async Task Two_downloads_to_one_place_do_not_mix()
    {
        using var server = new ArchiveServer(Name, Content) { HoldAfter = 1000 };
        Task first = Download(server);
        SpinWait.SpinUntil(() => File.Exists(Part) && new FileInfo(Part).Length == 1000, TimeSpan.FromSeconds(30)).Should().BeTrue();

        await Failure<UsageException>(server);
        server.Release();
        await first;

        ShouldBeComplete();
    }

    private static byte[] Bytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

#pragma warning disable CA5351 // the sum that archives are published with
    private static string Md5(byte[] content) => Convert.ToHexStringLower(MD5.HashData(content));
#pragma warning restore CA5351

    private Task Download(ArchiveServer server, Action<(long Here, long? Total)>? progress = null, TimeSpan? silence = null)
        => Download(server.File, progress, silence);

    private Task Download(
        Uri source, Action<(long Here, long? Total)>? progress = null, TimeSpan? silence = null, TimeSpan? pause = null,
        CancellationToken stop = default)
        => new ArchiveDownload(_http, source, Md5(Content), Target)
        {
            RetryDelay = pause ?? TimeSpan.Zero,
            IdleTimeout = silence ?? TimeSpan.FromSeconds(30),
            Progress = (here, total) => progress?.Invoke((here, total)),
        }.RunAsync(stop);

    private async Task StopAfter(ArchiveServer server, int bytes)
    {
        using var stop = new CancellationTokenSource();
        server.HoldAfter = bytes;
        Func<Task> fetching = () => Download(
            server.File,
            report =>
            {
                if (report.Here == bytes)
                {
                    stop.Cancel();
                }
            },
            stop: stop.Token);
        await fetching.Should().ThrowAsync<OperationCanceledException>();
        new FileInfo(Part).Length.Should().Be(bytes);
        server.Release();
    }

    private Task<string> Failure<T>(ArchiveServer server)
        where T : Exception => Failure<T>(() => Download(server));

    private async Task<string> Failure<T>(Func<Task> fetching)
        where T : Exception
    {
        string message = (await fetching.Should().ThrowAsync<T>()).Which.Message;
        message.Should().NotContain("\n");
        File.Exists(Target).Should().BeFalse();
        return message;
    }

    private IEnumerable<string?> FilesLeft() => Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName);

    private void ShouldBeComplete()
    {
        File.ReadAllBytes(Target).AsSpan().SequenceEqual(Content).Should().BeTrue();
        FilesLeft().Should().Equal(Name);
    }
}
