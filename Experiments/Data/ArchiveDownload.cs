using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// Fetches a file whose sum is known. What has come lies in <see cref="Part"/> beside its place, and the same download goes on from
/// there, in another process too; only a whole file with the right sum gets the name it was fetched for.
/// </summary>
/// <param name="http">The client; its timeout is that of an answer's beginning.</param>
/// <param name="source">What to fetch.</param>
/// <param name="md5">Its MD5 sum, in lower-case hexadecimal.</param>
/// <param name="path">Where to put it, in a folder that exists.</param>
internal sealed class ArchiveDownload(HttpClient http, Uri source, string md5, string path)
{
    private const int Chunk = 1 << 16;

    // Lost connections in a row, without a byte between them, before it gives up.
    private const int Patience = 5;

    private bool _received;

    /// <summary>The file that grows.</summary>
    public string Part { get; } = path + ".part";

    /// <summary>Silence after which a connection counts as lost.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The wait before a lost connection is made again; it doubles each time in a row.</summary>
    public TimeSpan Pause { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Hears how many bytes are there, and how many there will be, where the server says so.</summary>
    public Action<long, long?> Progress { get; init; } = (_, _) => { };

    /// <summary>What the server called its version of the file when <see cref="Part"/> was begun: an entity tag or a date.</summary>
    private string Validator => Part + ".version";

    /// <summary>Fetches it, from where an earlier attempt ended.</summary>
    /// <exception cref="UsageException">The folder cannot be written.</exception>
    /// <exception cref="IOException">One line: it cannot be fetched, is another file, or the disk is full.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/>; what has come is kept.</exception>
    public async Task RunAsync(CancellationToken stop)
    {
        FileStream part = Open(); // before anything may be deleted: another download may be at it
        try
        {
            await using (part)
            {
                await ReceiveAllAsync(part, stop);
                await CheckAsync(part, stop);
            }

            File.Move(Part, path, overwrite: true);
            File.Delete(Validator);
        }
        finally
        {
            if (new FileInfo(Part) is { Exists: true, Length: 0 })
            {
                Delete();
            }
        }
    }

    // Nobody else may open it meanwhile: two downloads at once would mix.
    private FileStream Open()
    {
        try
        {
            return new FileStream(Part, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0, FileOptions.Asynchronous);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"cannot write {Part} ({e.Message}); name another folder with --data DIR", e);
        }
    }

    private async Task ReceiveAllAsync(FileStream part, CancellationToken stop)
    {
        long furthest = part.Length;
        for (int lost = 0; ; lost++)
        {
            try
            {
                await ReceiveAsync(part, stop);
                return;
            }
            catch (HttpRequestException e)
            {
                // A server that begins anew each time has to come further each time.
                (lost, furthest) = part.Length > furthest ? (0, part.Length) : (lost, furthest);
                if (!_received || lost == Patience)
                {
                    throw Unreachable(e, part.Length);
                }
            }

            await Task.Delay(Pause * (1 << lost), stop);
        }
    }

    /// <summary>One request; returns when the file is whole.</summary>
    /// <exception cref="HttpRequestException">The connection failed or was lost.</exception>
    private async Task ReceiveAsync(FileStream part, CancellationToken stop)
    {
        using HttpRequestMessage request = Request(part.Length);
        using HttpResponseMessage response = await SendAsync(request, stop);
        ContentRangeHeaderValue? range = response.Content.Headers.ContentRange;
        long? total = range?.Length;
        switch (response.StatusCode)
        {
            case HttpStatusCode.PartialContent when part.Length > 0 && range?.From == part.Length:
                break;
            case HttpStatusCode.OK:
                Begin(part, response);
                total = response.Content.Headers.ContentLength;
                break;
            case HttpStatusCode.RequestedRangeNotSatisfiable when part.Length > 0 && total == part.Length:
                return;
            case HttpStatusCode.PartialContent or HttpStatusCode.RequestedRangeNotSatisfiable when part.Length > 0:
                part.SetLength(0); // it is no beginning of what the server has: from the start
                await ReceiveAsync(part, stop);
                return;
            default:
                throw new IOException(string.Create(
                    CultureInfo.InvariantCulture,
                    $"cannot fetch {source}: the server answers {(int)response.StatusCode} {response.ReasonPhrase}; name another place of {Path.GetFileName(path)} with --from URL"));
        }

        await CopyAsync(response, part, total, stop);
    }

    private HttpRequestMessage Request(long from)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, source);
        if (from > 0)
        {
            request.Headers.Range = new RangeHeaderValue(from, null);
            if (File.Exists(Validator))
            {
                request.Headers.TryAddWithoutValidation("If-Range", File.ReadAllText(Validator));
            }
        }

        return request;
    }

    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken stop)
    {
        try
        {
            return await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop);
        }
        catch (OperationCanceledException e) when (!stop.IsCancellationRequested)
        {
            throw new HttpRequestException("the server does not answer", e);
        }
    }

    private void Begin(FileStream part, HttpResponseMessage response)
    {
        if (part.Length > 0)
        {
            part.SetLength(0);
        }

        File.Delete(Validator);
        EntityTagHeaderValue? tag = response.Headers.ETag;
        string? version = tag is { IsWeak: false } ? tag.Tag : response.Content.Headers.LastModified?.ToString("R", CultureInfo.InvariantCulture);
        if (version is not null)
        {
            File.WriteAllText(Validator, version);
        }
    }

    private async Task CopyAsync(HttpResponseMessage response, FileStream part, long? total, CancellationToken stop)
    {
        await using Stream body = await response.Content.ReadAsStreamAsync(stop);
        byte[] buffer = new byte[Chunk];
        long here = part.Seek(0, SeekOrigin.End);
        Progress(here, total);
        while (await ReadAsync(body, buffer, stop) is > 0 and int count)
        {
            try
            {
                await part.WriteAsync(buffer.AsMemory(0, count), stop);
            }
            catch (IOException e)
            {
                throw new IOException($"cannot write {Part}: {e.Message}; the same command goes on from there", e);
            }

            _received = true;
            here += count;
            Progress(here, total);
        }
    }

    private async Task<int> ReadAsync(Stream body, Memory<byte> buffer, CancellationToken stop)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
        patience.CancelAfter(Silence);
        try
        {
            return await body.ReadAsync(buffer, patience.Token);
        }
        catch (IOException e)
        {
            throw new HttpRequestException(e.Message, e);
        }
        catch (OperationCanceledException e) when (!stop.IsCancellationRequested)
        {
            throw new HttpRequestException("the server has fallen silent", e);
        }
    }

    private async Task CheckAsync(FileStream part, CancellationToken stop)
    {
        part.Seek(0, SeekOrigin.Begin);
        string sum = await Md5Async(part, stop);
        if (sum != md5)
        {
            Delete();
            throw new IOException($"{source} is not the published archive: its MD5 sum is {sum}, not {md5}; it was deleted. Run again, or name another place with --from URL");
        }

        part.Flush(flushToDisk: true);
    }

    private void Delete()
    {
        File.Delete(Part);
        File.Delete(Validator);
    }

    private IOException Unreachable(HttpRequestException e, long here)
    {
        string kept = here == 0 ? "" : string.Create(CultureInfo.InvariantCulture, $"; {Part} keeps {here / 1e6:F1} MB, and the same command goes on from there");
        return new IOException(
            $"cannot fetch {source}: {Reason(e)}{kept}; without a network, "
            + $"put {Path.GetFileName(path)} into {Path.GetDirectoryName(path)} by hand and run this again",
            e);
    }

    private static string Reason(HttpRequestException e)
        => (e.HttpRequestError == HttpRequestError.SecureConnectionError ? e.GetBaseException() : e).Message.ReplaceLineEndings(" ");

    /// <summary>A file's MD5 sum in lower-case hexadecimal.</summary>
    public static async Task<string> Md5Async(Stream file, CancellationToken stop)
#pragma warning disable CA5351 // the published sum is an MD5 one; it tells a damaged download
        => Convert.ToHexStringLower(await MD5.HashDataAsync(file, stop));
#pragma warning restore CA5351
}
