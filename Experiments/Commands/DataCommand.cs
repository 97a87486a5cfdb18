using System.CommandLine;
using System.Globalization;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta data cifar10|cifar100 [--data DIR]</c>: fetches the official archive and unpacks it; <c>imta data imagenet --check DIR</c>: looks at what is there.</summary>
internal static class DataCommand
{
    private const string ImageNet = "imagenet";

    private static readonly CifarFormat[] Formats = [CifarFormat.Cifar10, CifarFormat.Cifar100];

    private static readonly Argument<string> Name = new("cifar10|cifar100|imagenet") { Description = "The data set" };
    private static readonly Option<string> Data = new("--data") { HelpName = "DIR", Description = "Where to put its folder", DefaultValueFactory = _ => "data" };
    private static readonly Option<string> From = new("--from") { HelpName = "URL", Description = "The folder of the archive, where a mirror has it", DefaultValueFactory = _ => CifarFormat.ArchiveFolder };

    private static readonly Option<string?> Check = new("--check") { HelpName = "DIR", Description = "Of ImageNet's folders train and val, with a folder for each class: read every picture, and tell what there is" };

    public static Command Build()
    {
        var command = new Command("data", "Fetch CIFAR-10 or CIFAR-100: the official archive, its sum checked, unpacked; or check ImageNet's folders") { Name, Data, From, Check };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        string name = arguments.GetValue(Name)!;
        if (name == ImageNet || arguments.GetValue(Check) is not null)
        {
            return CheckImageNet(name, arguments.GetValue(Check));
        }

        CifarFormat format = Formats.FirstOrDefault(known => known.Key == name)
            ?? throw new UsageException($"there is no data set {Terminal.OneLine(name)} to fetch; wanted {string.Join(" or ", Formats.Select(known => known.Key))}, or imagenet with --check DIR");
        Uri from = Folder(arguments.GetValue(From)!);
        using var stop = new Interruption();
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
        try
        {
            ObtainAsync(format, arguments.GetValue(Data)!, from, http, stop.Token).GetAwaiter().GetResult();
            return 0;
        }
        catch (OperationCanceledException) when (stop.Token.IsCancellationRequested)
        {
            Console.Out.WriteLine($"stopped; the folder {arguments.GetValue(Data)} keeps what has come, and the same command goes on from there");
            return Interruption.ExitCode;
        }
    }

    private static int CheckImageNet(string name, string? folder)
    {
        if (name != ImageNet || folder is null)
        {
            throw new UsageException(name == ImageNet
                ? "ImageNet is not fetched: it is given to those who register at image-net.org; imta data imagenet --check DIR looks at its folders"
                : $"--check is for imagenet; imta data {Terminal.OneLine(name)} checks what it finds by itself");
        }

        using var stop = new Interruption();
        try
        {
            return ImageNetCheck.Run(folder, stop.Token);
        }
        catch (OperationCanceledException)
        {
            return Interruption.ExitCode;
        }
    }

    /// <summary>Makes the data set complete in its folder below <paramref name="root"/>, unless it is.</summary>
    internal static async Task ObtainAsync(CifarFormat format, string root, Uri from, HttpClient http, CancellationToken stop)
    {
        if (CifarArchive.CompleteFolder(format, root) is { } present)
        {
            Console.Out.WriteLine($"{format.Name} is already complete in {present}");
        }
        else
        {
            Prepare(format, root);
            string archive = Path.Combine(root, format.Archive);
            bool ownArchive = !await IsThereAsync(format, archive, stop);
            if (ownArchive)
            {
                await FetchAsync(format, archive, from, http, stop);
            }

            Console.Out.WriteLine($"unpacking {archive}");
            string folder = await CifarArchive.UnpackAsync(format, archive, root, stop);
            if (ownArchive)
            {
                File.Delete(archive);
            }

            Console.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{format.Name} is complete in {folder}: {format.TrainImages:N0} training and {format.TestImages:N0} test images"));
        }

        Console.Out.WriteLine($"imta train configs/{format.Key}-l2w.yaml --data {(root.Contains(' ', StringComparison.Ordinal) ? $"'{root}'" : root)}");
    }

    /// <summary>Refuses what would have to be overwritten, before anything is fetched.</summary>
    private static void Prepare(CifarFormat format, string root)
    {
        string folder = Path.Combine(root, format.Folder);
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any())
        {
            throw new UsageException($"{folder} is not the whole {format.Name} ({CifarArchive.Lack(format, folder)}), and is not overwritten; remove it, or name another folder with --data DIR");
        }

        try
        {
            Directory.CreateDirectory(root);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UsageException($"--data {root} cannot be a folder ({e.Message}); name another one", e);
        }
    }

    /// <summary>Whether the archive lies there, put by hand or left by a command that was stopped while it unpacked.</summary>
    private static async Task<bool> IsThereAsync(CifarFormat format, string archive, CancellationToken stop)
    {
        if (!File.Exists(archive))
        {
            return false;
        }

        await using FileStream file = File.OpenRead(archive);
        string sum = await ArchiveDownload.Md5Async(file, stop);
        return sum == format.ArchiveMd5
            ? true
            : throw new UsageException($"{archive} is not the published archive: its MD5 sum is {sum}, not {format.ArchiveMd5}; remove it, and it is fetched");
    }

    private static Task FetchAsync(CifarFormat format, string archive, Uri from, HttpClient http, CancellationToken stop)
    {
        var source = new Uri(from, format.Archive);
        Console.Out.WriteLine($"fetching {source}");
        return TransferProgress.ShowAsync(progress =>
            new ArchiveDownload(http, source, format.ArchiveMd5, archive) { Progress = progress }.RunAsync(stop));
    }

    private static Uri Folder(string url)
        => Uri.TryCreate(url.TrimEnd('/') + "/", UriKind.Absolute, out Uri? folder) && folder.Scheme is "http" or "https"
            ? folder
            : throw new UsageException($"--from {Terminal.OneLine(url)} is no address; wanted the folder of the archive, such as {CifarFormat.ArchiveFolder}");
}
