using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data.Pictures;

/// <summary><c>imta data imagenet --check</c> as a user runs it.</summary>
public sealed class ImageNetCheckTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public ImageNetCheckTests()
    {
        Put("train/n01/a.JPEG", "landscape.jpg");
        Put("train/n01/deep/b.jpg", "grey.jpg");
        Put("train/n02/c.jpeg", "cmyk.jpg");
        Put("val/n01/d.png", "colour.png");
        Put("val/n02/e.jpg", "rotated.jpg");
        File.WriteAllText(_folder.In("train", "n01", "notes.txt"), "no picture");
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void It_tells_what_there_is()
    {
        ImtaProcess.Result result = _folder.Run(0, "data", "imagenet", "--check", ".");

        result.Output.Should().Contain("train: 3 images in 2 classes, 1 to 2 each, ").And.Contain("; 0 unreadable")
            .And.Contain("train: 320 to 500 pixels wide, 280 to 375 high, 1 grey, 1 CMYK\n")
            .And.Contain("val: 260 to 300 pixels wide, 260 to 300 high, 1 PNG, 1 with an Exif rotation, which is not applied\n")
            .And.Contain("classes: n01, n02\n");
        result.Error.Should().BeEmpty();
    }

    [Fact]
    public void Files_that_cannot_be_read_are_named_and_the_exit_code_is_1()
    {
        File.WriteAllText(_folder.In("train", "n02", "broken.jpg"), "no JPEG");
        byte[] whole = GoldenPictures.Bytes("landscape.jpg");
        File.WriteAllBytes(_folder.In("val", "n02", "half.jpg"), whole[..(whole.Length / 2)]);

        ImtaProcess.Result result = _folder.Run(1, "data", "imagenet", "--check", ".");

        result.Error.Should().Be("imta: ./train/n02/broken.jpg cannot be read: not a JPEG, PNG, WebP or BMP file\n");
        result.Output.Should().Contain("4 images in 2 classes, 2 to 2 each").And.Contain("; 1 unreadable").And.Contain("1 damaged");
    }

    [Fact]
    public void Test_pictures_that_are_trained_on_are_counted()
    {
        Put("val/n02/again.jpg", "landscape.jpg");

        _folder.Run(0, "data", "imagenet", "--check", ".").Error.Should().Be(
            "imta: warning: 1 of the 3 files in val are also in train, byte for byte: the test accuracy may be overestimated by up to "
                + "33.34 percentage points\n");
    }

    [Fact]
    public void A_folder_without_val_cannot_be_trained_on_and_is_refused()
    {
        Directory.Move(_folder.In("val"), _folder.In("test"));

        _folder.Run(2, "data", "imagenet", "--check", ".").Error.Should().StartWith("imta: . does not have the folders train and val,");
    }

    [Theory]
    [InlineData("train does not have the folders train and val", "data", "imagenet", "--check", "train")]
    [InlineData("ImageNet cannot be downloaded automatically", "data", "imagenet")]
    [InlineData("--check is for imagenet", "data", "cifar10", "--check", ".")]
    public void Wrong_input_is_one_line(string message, params string[] arguments)
    {
        string error = _folder.Run(2, arguments).Error;

        error.Should().Contain(message);
        error.TrimEnd('\n').Should().NotContain("\n");
    }

    [Fact]
    public void Classes_of_only_one_of_the_sets_and_classes_without_pictures_are_named()
    {
        Put("train/n03/f.jpg", "small.jpg");
        Refusal().Should().Contain("train has 3 classes and val 2; n03 is only in train");
        Directory.CreateDirectory(_folder.In("val", "n03"));
        Refusal().Should().Contain("n03 contains no JPEG, PNG, WebP or BMP files");

        string Refusal() => FluentActions.Invoking(() => ImageNetFolders.Read(_folder.Path)).Should().Throw<UsageException>().Which.Message;
    }

    [Fact]
    public void Links_to_files_are_followed_those_to_folders_and_hidden_classes_are_not()
    {
        File.CreateSymbolicLink(_folder.In("train", "n02", "link.jpg"), _folder.In("train", "n01", "a.JPEG"));
        Directory.CreateSymbolicLink(_folder.In("train", "n02", "loop"), _folder.In("train"));
        Directory.CreateDirectory(_folder.In("train", ".hidden"));

        ImageNetFolders.Read(_folder.Path).Train.Files.Should().Equal("n01/a.JPEG", "n01/deep/b.jpg", "n02/c.jpeg", "n02/link.jpg");
    }

    [Fact]
    public void What_cannot_be_opened_is_no_overlap()
    {
        File.CreateSymbolicLink(_folder.In("train", "n02", "gone.jpg"), "/nowhere.jpg");
        File.CreateSymbolicLink(_folder.In("val", "n02", "gone.jpg"), "/nowhere.jpg");

        _folder.Run(1, "data", "imagenet", "--check", ".").Error.Should()
            .NotContain("also in train").And.Contain("gone.jpg cannot be read");
    }

    [Fact]
    public void Files_are_in_torchvisions_order()
    {
        Put("train/n01/B.jpg", "small.jpg");
        Put("train/n01/deep/A.jpg", "small.jpg");

        ImageFolder train = ImageNetFolders.Read(_folder.Path).Train;

        train.Files.Should().Equal("n01/B.jpg", "n01/a.JPEG", "n01/deep/A.jpg", "n01/deep/b.jpg", "n02/c.jpeg");
        train.Labels.Should().Equal(0, 0, 0, 0, 1);
        train.ClassCounts().Should().Equal(4, 1);
    }

    private void Put(string path, string picture)
    {
        string file = _folder.In(path.Split('/'));
        Directory.CreateDirectory(Path.GetDirectoryName(file)!);
        File.WriteAllBytes(file, GoldenPictures.Bytes(picture));
    }
}
