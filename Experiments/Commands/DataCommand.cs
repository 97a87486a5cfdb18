using System.CommandLine;
using System.Globalization;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary>
/// <c>imta data cifar10|cifar100 [--data DIR]</c>: downloads the official archive and unpacks it;
/// <c>imta data imagenet|pictures --check DIR</c>: inspects an existing data set.
/// </summary>
internal static class DataCommand
{
    private const string ImageNet = "imagenet", Pictures = "pictures";

    private static readonly CifarFormat[] Formats = [CifarFormat.Cifar10, CifarFormat.Cifar100];

    private static readonly Argument<string> Name = new("cifar10|cifar100|imagenet|pictures") { Description = "The data set" };
    private static readonly Option<string> Data
        = new("--data") { HelpName = "DIR", Description = "Parent folder for the data set", DefaultValueFactory = _ => "data" };
    private static readonly Option<string> From = new("--from")
    {
        HelpName = "URL",
        Description = "URL of the folder that contains the "
        + "archive, for a mirror",
        DefaultValueFactory = _ => CifarFormat.ArchiveFolder
    };

    private static readonly Option<string?> Check = new("--check")
    {
        HelpName = "DIR",
        Description = "Read every image in the folders train and val (for pictures, test or val; one subfolder per class), and report "
            + "what was found",
    };

    public static Command Build()
    {
        var command = new Command("data", "Download CIFAR-10 or CIFAR-100 (the official archive, checksum verified, unpacked), or check "
            + "folders of images") { Name, Data, From, Check };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        string name = arguments.GetValue(Name)!;
        if (name is ImageNet or Pictures || arguments.GetValue(Check) is not null)
        {
            return CheckFolders(name, arguments.GetValue(Check));
        }

        CifarFormat format = Formats.FirstOrDefault(known => known.Key == name)
            ?? throw new UsageException($"there is no data set {Terminal.Sanitize(name)} to download; expected "
                + $"{string.Join(" or ", Formats.Select(known => known.Key))}, or imagenet or pictures with --check DIR");
        Uri from = Folder(arguments.GetValue(From)!);
        using var stop = new StopSignal();
        using var http = new HttpClient { Timeout = TimeSpan.FromSeconds(30) };
        try
        {
            EnsureAsync(format, arguments.GetValue(Data)!, from, http, stop.Token).GetAwaiter().GetResult();
            return 0;
        }
        catch (OperationCanceledException) when (stop.Token.IsCancellationRequested)
        {
            Console.Out.WriteLine(
                $"stopped; the folder {arguments.GetValue(Data)} keeps the partial download; run the same command to resume");
            return StopSignal.ExitCode;
        }
    }

    private static int CheckFolders(string name, string? folder)
    {
        if (name is not (ImageNet or Pictures) || folder is null)
        {
            throw new UsageException(name switch
            {
                ImageNet => "ImageNet cannot be downloaded automatically: register at image-net.org to get it; "
                    + $"{SelfProcess.CommandLine("data", ImageNet, "--check", "DIR")} checks its folders",
                Pictures => $"pictures are your own; {SelfProcess.CommandLine("data", Pictures, "--check", "DIR")} checks their folders",
                _ => $"--check is for imagenet and pictures; imta data {Terminal.Sanitize(name)} always verifies the data",
            });
        }

        using var stop = new StopSignal();
        try
        {
            return ImageNetCheck.Run(folder, name == ImageNet ? ["val"] : PictureFolders.TestNames, stop.Token);
        }
        catch (OperationCanceledException)
        {
            return StopSignal.ExitCode;
        }
    }

    /// <summary>Downloads and unpacks the data set below <paramref name="root"/>, unless it is already complete.</summary>
    internal static async Task EnsureAsync(CifarFormat format, string root, Uri from, HttpClient http, CancellationToken stop)
    {
        if (CifarArchive.CompleteFolder(format, root) is { } present)
        {
            Console.Out.WriteLine($"{format.Name} is already complete in {present}");
        }
        else
        {
            Prepare(format, root);
            string archive = Path.Combine(root, format.Archive);
            bool ownArchive = !await HasValidArchiveAsync(format, archive, stop);
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
                CultureInfo.InvariantCulture, $"{format.Name} is complete in {folder}: {format.TrainImages:N0} training and "
                    + $"{format.TestImages:N0} test images"));
        }

        string config = $"{format.Key}-l2w.yaml", inSources = Path.Combine("configs", config);
        config = File.Exists(inSources) ? inSources : SettingsLoader.BundledPath(config);
        Console.Out.WriteLine(SelfProcess.CommandLine("train", config, "--data", root));
    }

    /// <summary>Fails if existing files would be overwritten, before anything is downloaded.</summary>
    private static void Prepare(CifarFormat format, string root)
    {
        AtomicFile.CheckName(root);
        string folder = Path.Combine(root, format.Folder);
        if (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any())
        {
            throw new UsageException($"{folder} is not a complete {format.Name} ({CifarArchive.FindProblem(format, folder)}) and will not "
                + "be overwritten; remove it, or choose another folder with --data DIR");
        }

        try
        {
            Directory.CreateDirectory(root);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            throw new UsageException($"--data {root} cannot be used as a folder ({e.Message}); choose another one", e);
        }
    }

    /// <summary>Whether a valid archive is already there, placed manually or left by a command interrupted while unpacking.</summary>
    private static async Task<bool> HasValidArchiveAsync(CifarFormat format, string archive, CancellationToken stop)
    {
        if (!File.Exists(archive))
        {
            return false;
        }

        await using FileStream file = File.OpenRead(archive);
        string sum = await ArchiveDownload.Md5Async(file, stop);
        return sum == format.ArchiveMd5
            ? true
            : throw new UsageException($"{archive} is not the published archive: its MD5 checksum is {sum}, not {format.ArchiveMd5}; "
                + "remove it to download it again");
    }

    private static Task FetchAsync(CifarFormat format, string archive, Uri from, HttpClient http, CancellationToken stop)
    {
        var source = new Uri(from, format.Archive);
        Console.Out.WriteLine($"downloading {source}");
        return TransferProgress.ShowAsync(progress =>
            new ArchiveDownload(http, source, format.ArchiveMd5, archive) { Progress = progress }.RunAsync(stop));
    }

    private static Uri Folder(string url)
        => Uri.TryCreate(url.TrimEnd('/') + "/", UriKind.Absolute, out Uri? folder) && folder.Scheme is "http" or "https"
            ? folder
            : throw new UsageException($"--from {Terminal.Sanitize(url)} is not a valid URL; expected the folder of the archive, such as "
                + $"{CifarFormat.ArchiveFolder}");
}
