using Imta.MetaWeight.Backbones.Kernels;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Data;

public sealed class DataCifarReaderTests
{
    private static readonly CifarFormat Ten = CifarFormat.Cifar10;
    private static readonly CifarFormat Hundred = CifarFormat.Cifar100;

    private static CifarFormat Format(string name) => name == Ten.Name ? Ten : Hundred;

    private static string Complaint(CifarFormat format, string root)
    {
        var message = FluentActions.Invoking(() => CifarReader.Read(format, root, [])).Should().Throw<UsageException>().Which.Message;
        message.Should().NotContainAny("\n", "\r", "   at ");
        return message;
    }

    private static string Advised(CifarFormat format, string root)
    {
        string message = Complaint(format, root);
        message.Should()
            .Contain("https://www.cs.toronto.edu/~kriz/cifar.html").And.Contain(format.Archive).And.Contain(
                $" data {format.Key} --data DIR");
        return message;
    }

    [Theory]
    [InlineData("CIFAR-10", 5)]
    [InlineData("CIFAR-100", 1)]
    public void Bytes_and_labels_arrive_where_the_layout_says(string name, int trainFiles)
    {
        var format = Format(name);
        using var files = new DataCifarFolder(format, perFile: 12);
        var (train, test, _) = CifarReader.Read(format, files.Root, []);
        using (train)
        using (test)
        {
            train.Count.Should().Be(12 * trainFiles);
            test.Count.Should().Be(12);
            byte[] pixels = train.Images.data<byte>().ToArray();
            var expected =
                from file in Enumerable.Range(0, trainFiles)
                from image in Enumerable.Range(0, 12)
                from channel in Enumerable.Range(0, 3)
                from row in Enumerable.Range(0, 32)
                from column in Enumerable.Range(0, 32)
                select DataCifarFolder.Pixel(file, image, channel, row, column);
            pixels.AsSpan().SequenceEqual(expected.ToArray()).Should().BeTrue();
            var labels = Enumerable.Range(0, 12).Select(image => (long)(image % format.ClassNames.Count)).ToArray();
            test.Labels.data<long>().ToArray().Should().Equal(labels);
            train.Labels.data<long>().ToArray().Should().Equal(Enumerable.Repeat(labels, trainFiles).SelectMany(l => l));
            train.SourceIndices.data<long>().ToArray().Should().Equal(Enumerable.Range(0, train.Count).Select(i => (long)i));
            train.Difficulty.Should().BeNull();
        }
    }

    [Fact]
    public void A_file_larger_than_one_read_is_whole()
    {
        using var files = new DataCifarFolder(Hundred, perFile: 1);
        var content = new byte[5003 * Hundred.RecordBytes];
        for (int i = 0; i < 5003; i++)
        {
            content[(i * Hundred.RecordBytes) + 1] = (byte)(i % 100);
            content[((i + 1) * Hundred.RecordBytes) - 1] = (byte)(i % 251);
        }

        files.Write("train.bin", content);
        var (train, test, _) = CifarReader.Read(Hundred, files.Root, []);
        using (train)
        using (test)
        {
            train.Labels.data<long>().ToArray().Should().Equal(Enumerable.Range(0, 5003).Select(i => i % 100L));
            using var corner = train.Images.narrow(1, 2, 1).narrow(2, 31, 1).narrow(3, 31, 1);
            corner.data<byte>().ToArray().Should().Equal(Enumerable.Range(0, 5003).Select(i => (byte)(i % 251)));
        }
    }

    [Theory]
    [InlineData("CIFAR-10")]
    [InlineData("CIFAR-100")]
    public void The_root_is_the_folder_or_the_one_above(string name)
    {
        var format = Format(name);
        using var files = new DataCifarFolder(format, perFile: 2);
        foreach (string root in (string[])[files.Root, files.Folder, files.Folder + "/"])
        {
            var (train, test, _) = CifarReader.Read(format, root, []);
            train.Count.Should().Be(2 * format.TrainFiles.Count);
            train.Dispose();
            test.Dispose();
        }
    }

    [Fact]
    public void The_known_names_are_complete()
    {
        Ten.ClassNames.Distinct().Should().HaveCount(10).And.BeInAscendingOrder(StringComparer.Ordinal);
        Hundred.ClassNames.Distinct().Should().HaveCount(100).And.BeInAscendingOrder(StringComparer.Ordinal);
    }

    [Theory]
    [InlineData("CIFAR-10", "batches.meta.txt", 10)]
    [InlineData("CIFAR-100", "fine_label_names.txt", 100)]
    public void Names_come_from_the_names_file_where_there_is_one(string name, string file, int classes)
    {
        var format = Format(name);
        using var files = new DataCifarFolder(format, perFile: 1);
        string[] names = [.. Enumerable.Range(0, classes).Select(i => $"name{i}")];
        File.WriteAllText(files.PathOf(file), string.Join('\n', names) + "\n\n");
        var (train, test, _) = CifarReader.Read(format, files.Root, []);
        train.ClassNames.Should().Equal(names);
        test.ClassNames.Should().Equal(names);
        train.Dispose();
        test.Dispose();
    }

    [Fact]
    public void An_unusable_names_file_is_a_warning_and_the_known_names_serve()
    {
        using var files = new DataCifarFolder(Ten, perFile: 1);
        File.WriteAllText(files.PathOf("batches.meta.txt"), "one\ntwo\n");
        var warnings = new List<string>();
        var (train, test, _) = CifarReader.Read(Ten, files.Root, warnings);
        train.ClassNames.Should().Equal(Ten.ClassNames);
        warnings.Should().ContainSingle(line => line.Contains("batches.meta.txt") && line.Contains("2 classes, not 10"));
        train.Dispose();
        test.Dispose();
    }

    [Fact]
    public void Fewer_images_than_the_original_is_a_warning_for_each_set()
    {
        using var files = new DataCifarFolder(Ten, perFile: 40);
        var warnings = new List<string>();
        var (train, test, _) = CifarReader.Read(Ten, files.Root, warnings);
        warnings.Should().HaveCount(2);
        warnings[0].Should().Contain("200 training images").And.Contain("50000");
        warnings[1].Should().Contain("40 test images").And.Contain("10000");
        train.Dispose();
        test.Dispose();
    }

    [Theory]
    [InlineData("CIFAR-10", "data_batch_4.bin")]
    [InlineData("CIFAR-10", "test_batch.bin")]
    [InlineData("CIFAR-100", "train.bin")]
    [InlineData("CIFAR-100", "test.bin")]
    public void A_missing_file_is_named_with_its_folder_and_its_source(string name, string file)
    {
        var format = Format(name);
        using var files = new DataCifarFolder(format, perFile: 1);
        File.Delete(files.PathOf(file));
        Advised(format, files.Root).Should().Contain($"{file} is missing from {files.Folder}");
    }

    [Fact]
    public void A_missing_folder_is_named()
    {
        string nowhere = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        Advised(Ten, nowhere).Should().Contain($"folder '{nowhere}' does not exist");
    }

    [Fact]
    public void A_file_in_the_place_of_the_folder_is_named()
    {
        using var files = new DataCifarFolder(Ten, perFile: 1);
        Advised(Ten, files.PathOf("test_batch.bin")).Should().Contain("test_batch.bin is a file");
    }

    [Fact]
    public void Links_to_the_files_do_as_well()
    {
        using var files = new DataCifarFolder(Ten, perFile: 3);
        var links = Directory.CreateDirectory(Path.Combine(files.Root, "links")).FullName;
        foreach (string file in Directory.GetFiles(files.Folder))
        {
            File.CreateSymbolicLink(Path.Combine(links, Path.GetFileName(file)), file);
        }

        var (train, test, _) = CifarReader.Read(Ten, links, []);
        train.Count.Should().Be(15);
        train.Dispose();
        test.Dispose();
    }

    [Fact]
    public void A_folder_in_the_place_of_a_file_is_named()
    {
        using var files = new DataCifarFolder(Ten, perFile: 1);
        File.Delete(files.PathOf("data_batch_2.bin"));
        Directory.CreateDirectory(files.PathOf("data_batch_2.bin"));
        Advised(Ten, files.Root).Should().Contain($"{files.PathOf("data_batch_2.bin")} is a folder");
    }

    [Theory]
    [InlineData("CIFAR-10", "data_batch_5.bin", 3073)]
    [InlineData("CIFAR-100", "test.bin", 3074)]
    public void A_length_that_is_no_multiple_of_the_record_is_refused_with_the_numbers(string name, string file, int record)
    {
        var format = Format(name);
        using var files = new DataCifarFolder(format, perFile: 3);
        byte[] content = File.ReadAllBytes(files.PathOf(file));
        files.Write(file, content[..^1]);
        Advised(format, files.Root).Should()
            .Contain(files.PathOf(file)).And.Contain($"{(3 * record) - 1} bytes").And.Contain($"{record} bytes");
    }

    [Fact]
    public void An_empty_file_is_refused()
    {
        using var files = new DataCifarFolder(Ten, perFile: 1);
        files.Write("data_batch_1.bin", []);
        Advised(Ten, files.Root).Should().Contain("data_batch_1.bin has 0 bytes");
    }

    [Theory]
    [InlineData("CIFAR-10", "data_batch_3.bin", 0, 10, 9)]
    [InlineData("CIFAR-100", "train.bin", 1, 100, 99)]
    [InlineData("CIFAR-100", "train.bin", 0, 20, 19)]
    public void A_label_out_of_range_is_refused_with_its_position(string name, string file, int labelByte, byte wrong, int last)
    {
        var format = Format(name);
        using var files = new DataCifarFolder(format, perFile: 5);
        int at = (3 * format.RecordBytes) + labelByte;
        files.Change(file, at, wrong);
        Advised(format, files.Root).Should()
            .Contain(files.PathOf(file)).And.Contain($"record 3 (byte {at})").And.Contain($"label {wrong}").And.Contain($"0 to {last}");
    }

    [Fact]
    public void A_file_that_cannot_be_read_is_named()
    {
        using var files = new DataCifarFolder(Ten, perFile: 1);
        using var exclusive = new FileStream(files.PathOf("test_batch.bin"), FileMode.Open, FileAccess.ReadWrite, FileShare.None);
        Complaint(Ten, files.Root).Should().StartWith($"cannot read {files.PathOf("test_batch.bin")}: ");
    }

    [Fact]
    public void Reading_leaves_no_tensor_behind_but_the_sets()
    {
        using var files = new DataCifarFolder(Ten, perFile: 2);
        using var scope = NewDisposeScope();
        var (train, test, _) = CifarReader.Read(Ten, files.Root, []);
        scope.DisposablesCount.Should().Be(0, "the sets own their tensors");
        train.Images.IsInvalid.Should().BeFalse();
        train.Dispose();
        test.Dispose();
        train.Images.IsInvalid.Should().BeTrue();
    }
}
