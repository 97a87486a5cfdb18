using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Imta.MetaWeight.Tests.Experiments.Data;

/// <summary>A server on this machine that has one file, takes ranges, and fails in the ways that servers and networks do.</summary>
internal sealed class ArchiveServer : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ManualResetEventSlim _released = new();
    private readonly ConcurrentQueue<int> _cuts = [];

    public ArchiveServer(string name, byte[] content)
    {
        Content = content;
        Name = name;
        _listener.Start();
        Folder = new Uri($"http://127.0.0.1:{((IPEndPoint)_listener.LocalEndpoint).Port}/files/");
        new Thread(Accept) { IsBackground = true }.Start();
    }

    public string Name { get; }

    /// <summary>The address of the folder.</summary>
    public Uri Folder { get; }

    public Uri File => new(Folder, Name);

    public byte[] Content { get; set; }

    /// <summary>Header lines that name the file's version.</summary>
    public string[] Version { get; set; } = ["ETag: \"one\""];

    public bool TakesRanges { get; init; } = true;

    /// <summary>Whether it answers a range with the one after it.</summary>
    public bool MistakesRanges { get; init; }

    public bool SaysLength { get; init; } = true;

    /// <summary>For each answer, the bytes of its body before the connection is cut; without an entry it is whole.</summary>
    public int[] Cuts
    {
        init => _cuts = new ConcurrentQueue<int>(value);
    }

    /// <summary>Bytes of the first answer's body before it pauses until <see cref="Release"/>.</summary>
    public int? HoldAfter { get; set; }

    /// <summary>The requests, each as its range and condition: <c>bytes=5- if "one"</c>, <c>all</c>.</summary>
    public ConcurrentQueue<string> Requests { get; } = [];

    public void Release() => _released.Set();

    public void Dispose()
    {
        Release();
        _listener.Stop();
    }

    private void Accept()
    {
        try
        {
            while (true)
            {
                TcpClient client = _listener.AcceptTcpClient();
                new Thread(() => Answer(client)) { IsBackground = true }.Start();
            }
        }
        catch (Exception e) when (e is SocketException or InvalidOperationException or ObjectDisposedException)
        {
            // Stopped: while it waited, or before it waited again.
        }
    }

    private void Answer(TcpClient client)
    {
        try
        {
            using (client)
            {
                Answer(client.GetStream());
            }
        }
        catch (IOException)
        {
            // the client has gone
        }
    }

    private void Answer(NetworkStream stream)
    {
        var lines = new List<string>();
        using (var reader = new StreamReader(stream, Encoding.ASCII, leaveOpen: true))
        {
            while (reader.ReadLine() is { Length: > 0 } line)
            {
                lines.Add(line);
            }
        }

        string? range = Header("Range");
        string? condition = Header("If-Range");
        Requests.Enqueue((range ?? "all") + (condition is null ? "" : $" if {condition}"));
        if (lines[0].Split(' ')[1] != $"/files/{Name}")
        {
            Send("404 Not Found", "Content-Length: 0");
        }
        else if (range is null || !TakesRanges
            || (condition is not null && !Version.Any(version => version.EndsWith(": " + condition, StringComparison.Ordinal))))
        {
            Send("200 OK", [.. Version, .. SaysLength ? (string[])[$"Content-Length: {Content.Length}"] : []]);
            SendBody(0);
        }
        else if (int.Parse(range["bytes=".Length..^1], CultureInfo.InvariantCulture) is var from && from >= Content.Length)
        {
            Send("416 Range Not Satisfiable", $"Content-Range: bytes */{Content.Length}", "Content-Length: 0");
        }
        else
        {
            from += MistakesRanges ? 1 : 0;
            Send(
                "206 Partial Content",
                [
                    .. Version, $"Content-Range: bytes {from}-{Content.Length - 1}/{Content.Length}",
                    $"Content-Length: {Content.Length - from}"
                ]);
            SendBody(from);
        }

        string? Header(string name)
            => lines.Where(line => line.StartsWith(name + ": ", StringComparison.OrdinalIgnoreCase))
                .Select(line => line[(name.Length + 2)..])
                .FirstOrDefault();

        void Send(string status, params string[] headers)
            => stream.Write(Encoding.ASCII.GetBytes(string.Join("\r\n", [$"HTTP/1.1 {status}", .. headers, "Connection: close", "", ""])));

        void SendBody(int from)
        {
            int end = _cuts.TryDequeue(out int cut) ? Math.Min(from + cut, Content.Length) : Content.Length;
            if (HoldAfter is { } pause)
            {
                HoldAfter = null;
                stream.Write(Content, from, pause);
                _released.Wait();
                from += pause;
            }

            stream.Write(Content, from, end - from);
        }
    }
}
