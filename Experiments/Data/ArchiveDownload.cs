using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// Downloads a file with a known checksum. The partial download is in <see cref="PartialPath"/> next to the target, and the same download
/// resumes from there, even in another process; only a complete file with the correct checksum gets the final name.
/// </summary>
/// <param name="http">The client; its timeout applies to the start of the response.</param>
/// <param name="source">What to download.</param>
/// <param name="md5">Its MD5 checksum, in lower-case hexadecimal.</param>
/// <param name="path">The target path, in an existing folder.</param>
internal sealed class ArchiveDownload(HttpClient http, Uri source, string md5, string path)
{
    private const int Chunk = 1 << 16;

    private const int MaxRetries = 5; // consecutive lost connections without progress before giving up

    private bool _received;

    /// <summary>The partial file.</summary>
    public string PartialPath { get; } = path + ".part";

    /// <summary>Idle time after which a connection counts as lost.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The delay before reconnecting; it doubles with each consecutive failure.</summary>
    public TimeSpan RetryDelay { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>Receives the number of bytes downloaded, and the total if the server reports it.</summary>
    public Action<long, long?> Progress { get; init; } = (_, _) => { };

    /// <summary>The server's version of the file when <see cref="PartialPath"/> was started: an entity tag or a date.</summary>
    private string ValidatorPath => PartialPath + ".version";

    /// <summary>Downloads it, resuming an earlier attempt.</summary>
    /// <exception cref="UsageException">The folder cannot be written.</exception>
    /// <exception cref="IOException">One line: it cannot be downloaded, is a different file, or the disk is full.</exception>
    /// <exception cref="OperationCanceledException">Stopped by <paramref name="stop"/>; the partial download is kept.</exception>
    public async Task RunAsync(CancellationToken stop)
    {
        FileStream part = Open(); // before anything is deleted: another download may be using it
        try
        {
            await using (part)
            {
                await ReceiveAllAsync(part, stop);
                await CheckAsync(part, stop);
            }

            File.Move(PartialPath, path, overwrite: true);
            File.Delete(ValidatorPath);
        }
        finally
        {
            if (new FileInfo(PartialPath) is { Exists: true, Length: 0 })
            {
                Delete();
            }
        }
    }

    // Opened exclusively: two concurrent downloads would corrupt it.
    private FileStream Open()
    {
        try
        {
            return new FileStream(
                PartialPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0, FileOptions.Asynchronous);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"cannot write {PartialPath} ({e.Message}); choose another folder with --data DIR", e);
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
                // A server that restarts each time must make progress each time.
                (lost, furthest) = part.Length > furthest ? (0, part.Length) : (lost, furthest);
                if (!_received || lost == MaxRetries)
                {
                    throw Unreachable(e, part.Length);
                }
            }

            await Task.Delay(RetryDelay * (1 << lost), stop);
        }
    }

    /// <summary>One request; returns when the file is complete.</summary>
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
                part.SetLength(0); // it is not a prefix of the server's file: restart
                await ReceiveAsync(part, stop);
                return;
            default:
                throw new IOException(FormattableString.Invariant(
                    $"cannot fetch {source}: the server returned {(int)response.StatusCode} {response.ReasonPhrase}; ")
                    + $"give another location of {Path.GetFileName(path)} with --from URL");
        }

        await CopyAsync(response, part, total, stop);
    }

    private HttpRequestMessage Request(long from)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, source);
        if (from > 0)
        {
            request.Headers.Range = new RangeHeaderValue(from, null);
            if (File.Exists(ValidatorPath))
            {
                request.Headers.TryAddWithoutValidation("If-Range", File.ReadAllText(ValidatorPath));
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
            throw new HttpRequestException("the server does not respond", e);
        }
    }

    private void Begin(FileStream part, HttpResponseMessage response)
    {
        if (part.Length > 0)
        {
            part.SetLength(0);
        }

        File.Delete(ValidatorPath);
        string? date = response.Content.Headers.LastModified?.ToString("R", CultureInfo.InvariantCulture);
        if ((response.Headers.ETag is { IsWeak: false } tag ? tag.Tag : date) is { } version)
        {
            File.WriteAllText(ValidatorPath, version);
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
                throw new IOException($"cannot write {PartialPath}: {e.Message}; run the same command to resume", e);
            }

            _received = true;
            here += count;
            Progress(here, total);
        }
    }

    private async Task<int> ReadAsync(Stream body, Memory<byte> buffer, CancellationToken stop)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(stop);
        timeout.CancelAfter(IdleTimeout);
        try
        {
            return await body.ReadAsync(buffer, timeout.Token);
        }
        catch (IOException e)
        {
            throw new HttpRequestException(e.Message, e);
        }
        catch (OperationCanceledException e) when (!stop.IsCancellationRequested)
        {
            throw new HttpRequestException("the server stopped sending data", e);
        }
    }

    private async Task CheckAsync(FileStream part, CancellationToken stop)
    {
        part.Seek(0, SeekOrigin.Begin);
        if (await Md5Async(part, stop) is var sum && sum != md5)
        {
            Delete();
            throw new IOException($"{source} is not the published archive: its MD5 checksum is {sum}, not {md5}; it was deleted. Run "
                + "again, or give another location with --from URL");
        }

        part.Flush(flushToDisk: true);
    }

    private void Delete()
    {
        File.Delete(PartialPath);
        File.Delete(ValidatorPath);
    }

    private IOException Unreachable(HttpRequestException e, long here)
    {
        Exception cause = e.HttpRequestError == HttpRequestError.SecureConnectionError ? e.GetBaseException() : e;
        string kept = FormattableString.Invariant($"; {PartialPath} keeps {here / 1e6:F1} MB; run the same command to resume");
        return new IOException($"cannot fetch {source}: {cause.Message.ReplaceLineEndings(" ")}{(here == 0 ? "" : kept)}; without network "
            + $"access, put {Path.GetFileName(path)} into {Path.GetDirectoryName(path)} by hand and run this again", e);
    }

    /// <summary>A file's MD5 checksum in lower-case hexadecimal.</summary>
    public static async Task<string> Md5Async(Stream file, CancellationToken stop)
#pragma warning disable CA5351 // the published checksum is MD5; it detects a damaged download
        => Convert.ToHexStringLower(await MD5.HashDataAsync(file, stop));
#pragma warning restore CA5351
}
