using System.Diagnostics;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using SkiaSharp;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary>Folders of pictures as people have them, with what lies in them besides.</summary>
public sealed class PictureFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public PictureFolderTests() => ImageNetFolder.Make(_folder.In("pictures"), copies: 7); // 56 and 16

    public void Dispose()
    {
        Shell("rm -rf pictures"); // .NET cannot delete what is not UTF-8
        _folder.Dispose();
    }

    [Fact]
    public void What_systems_leave_beside_pictures_is_no_picture_no_class_and_no_overlap()
    {
        ImtaProcess.Result before = _folder.Run(0, "data", "imagenet", "--check", "pictures");
        byte[] picture = GoldenPictures.Bytes("landscape.jpg");
        foreach (string set in (string[])["train", "val"])
        {
            foreach (string name in (string[])["._0.JPEG", ".DS_Store", "Thumbs.db", "desktop.ini", ".a.png"])
            {
                File.WriteAllBytes(_folder.In("pictures", set, "n1", name), picture);
            }

            foreach (string name in (string[])["__MACOSX", ".Trash", "n1/__MACOSX", "n1/.thumbnails", "n1/deep/.xvpics"])
            {
                Directory.CreateDirectory(_folder.In("pictures", set, name));
                File.WriteAllBytes(_folder.In("pictures", set, name, "again.jpg"), picture);
            }
        }

        ImtaProcess.Result after = _folder.Run(0, "data", "imagenet", "--check", "pictures");

        (after.Output, after.Error).Should().Be((before.Output, before.Error));
        after.Output.Should().Contain("classes: n0, n1, n2, n3\n");
    }

    [Fact]
    public void WebP_and_BMP_are_read_by_names_of_any_case_and_other_formats_are_counted()
    {
        using SKBitmap noise = PictureFormatTests.Noise(50, 40);
        File.WriteAllBytes(_folder.In("pictures", "train", "n0", "w.WebP"), PictureFormatTests.WebP(noise, SKWebpEncoderCompression.Lossy));
        File.WriteAllBytes(_folder.In("pictures", "train", "n1", "b.BMP"), PictureFormatTests.Bmp(noise, 24));
        foreach (string name in (string[])["a.tif", "b.TIFF", "c.tif", "d.ppm", "notes.txt"])
        {
            File.WriteAllText(_folder.In("pictures", "train", "n2", name), "");
        }

        const string Warning = "pictures/train: skipping pictures in formats that imta cannot read: 1 .ppm, 2 .tif, 1 .tiff; "
            + "convert them, for example to PNG\n";
        ImtaProcess.Result check = _folder.Run(0, "data", "imagenet", "--check", "pictures");
        check.Error.Should().StartWith("imta: warning: " + Warning);
        check.Output.Should().Contain("train: 58 images in 4 classes").And.Contain(", 1 WebP, 1 BMP");
        Train(0, "run").All.Should().Contain(Warning);
        File.ReadAllText(_folder.In("run", "log.txt")).Should().Contain("1 WebP, 1 BMP").And.Contain(", 0 unreadable\n");
        _folder.Run(0, "calibrate", "run", "--shares", "1,1,1", "--out", "p.json");
        _folder.Run(0, "infer", "run", "--policy", "p.json", "--images", "pictures/train").Error.Should().Contain("warning: " + Warning);
        _folder.Read<InferenceRow>("answers.csv").Select(row => row.File).Should().HaveCount(58).And.Contain(["n0/w.WebP", "n1/b.BMP"]);
    }

    [Theory]
    [InlineData("touch pictures/train/n0/caf@.jpg")]
    [InlineData("touch pictures/val/n3/caf@.webp")]
    [InlineData("mkdir pictures/train/caf@")]
    [InlineData("mkdir pictures/train/n0/caf@")]
    public void A_name_that_is_not_UTF_8_is_found_at_the_start(string command)
    {
        Shell($"{command.Replace("@", "$(printf '\\351')")}");

        foreach (ImtaProcess.Result result in (ImtaProcess.Result[])
        [
            _folder.Run(2, "data", "imagenet", "--check", "pictures"), Train(2, "run"),
        ])
        {
            result.Error.Should().MatchRegex(
                "^imta: the name of .*pictures/.*caf\uFFFD.* is not UTF-8 .*; rename it and others like it, for example with convmv .*\n$");
        }

        Directory.Exists(_folder.In("run")).Should().BeFalse();
    }

    [Fact]
    public void Pictures_outside_the_class_folders_are_told()
    {
        foreach (string name in (string[])["b.png", "a.JPEG", "notes.txt", ".c.png"])
        {
            File.WriteAllBytes(_folder.In("pictures", "val", name), GoldenPictures.Bytes("small.jpg"));
        }

        _folder.Run(0, "data", "imagenet", "--check", "pictures").Error.Should().Contain("imta: warning: pictures/val: skipping 2 images "
            + "outside the class folders (a.JPEG); sort them into class folders\n");
    }

    [Fact]
    public void A_name_with_a_replacement_character_of_its_own_is_one()
    {
        File.WriteAllBytes(_folder.In("pictures", "train", "n0", "caf\uFFFD.jpg"), GoldenPictures.Bytes("small.jpg"));

        ImageNetFolders.Read(_folder.In("pictures")).Train.Files.Should().Contain("n0/caf\uFFFD.jpg");
    }

    [Fact]
    public void Pipes_and_empty_files_are_unreadable_and_nobody_waits_for_them()
    {
        Shell("mkfifo pictures/train/n0/pipe.jpg && ln -s pipe.jpg pictures/train/n0/link.jpg && touch pictures/train/n1/empty.png");

        _folder.Run(1, "data", "imagenet", "--check", "pictures").Error.Split('\n')
            .Where(line => line.EndsWith("g cannot be read: empty, or not a regular file", StringComparison.Ordinal)).Should().HaveCount(3);
        Train(0, "run").Output.Should().Contain("pipe.jpg cannot be read (empty, or not a regular file); using a black image instead")
            .And.Contain("link.jpg cannot").And.Contain("empty.png cannot");
    }

    [Fact]
    public void A_run_stops_where_more_than_a_tenth_of_a_set_is_unreadable()
    {
        for (int k = 0; k < 7; k++)
        {
            File.WriteAllText(_folder.In("pictures", "train", $"n{k % 4}", $"broken{k}.jpg"), "no JPEG");
        }

        ImtaProcess.Result stopped = Train(1, "run");

        stopped.Error.Should().MatchRegex(
            "(?m)^imta: 7 of the 63 images in .*/train cannot be read, which is more than a tenth; replace them "
                + @"\(.+ data imagenet --check .+ names all\); run/checkpoints/latest[.]pt is .*$");
        File.Delete(_folder.In("pictures", "train", "n0", "broken0.jpg"));
        Train(0, "other");
        foreach (string name in (string[])["n0/grey_0", "n1/cmyk_0"])
        {
            File.WriteAllText(_folder.In("pictures", "val", $"{name}.JPEG"), "no JPEG");
        }

        _folder.Run(1, "eval", "other", "--out", "again").Error.Should().Contain("imta: 2 of the 16 images in ");
    }

    private ImtaProcess.Result Train(int code, string run) => _folder.Run(
        code,
        [
            "train", "--out", run, "--data", "pictures", .. ImageNetFolder.Settings, "--set", "train.epochs=1", "--set",
            "meta.enabled=false", "--set", "train.batch=16",
        ]);

    private void Shell(string command)
    {
        using Process process = Process.Start(new ProcessStartInfo("sh", ["-c", command]) { WorkingDirectory = _folder.Path })!;
        process.WaitForExit();
        process.ExitCode.Should().Be(0, command);
    }
}
