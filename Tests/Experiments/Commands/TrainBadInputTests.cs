namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Wrong input: one clear line, exit code 2, nothing half-written.</summary>
public sealed class TrainBadInputTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("--set", "meta.epsilom=0.5", "did you mean meta.epsilon")]
    [InlineData("--set", "meta.q=0", "meta.q")]
    [InlineData("--set", "meta.q=-1", "meta.q")]
    [InlineData("--set", "train.epochs=many", "train.epochs")]
    [InlineData("--set", "train.batch", "key=value")]
    [InlineData("--device", "gpu", "cpu, cuda")]
    [InlineData("--device", "cuda", "CUDA")]
    [InlineData("--seed", "-1", "seed")]
    [InlineData("--seed", "99999999999", "--seed is 99999999999; it must be an integer, at most 2147483647. See imta train --help.")]
    [InlineData("--set", "seed=99999999999", "seed is 99999999999; it must be an integer >= 0, at most 2147483647")]
    [InlineData("--set", "--threads", "--set needs a value, but --threads follows it. See imta train --help.")]
    [InlineData("--data", "", "--data is empty. See imta train --help.")]
    [InlineData("--no-such-option", "1", "--no-such-option")]
    [InlineData("missing.yaml", null, "missing.yaml")]
    [InlineData("--set", "data.validation=50000", "validation")]
    [InlineData("--set", "data.trainLimit=11", "data.trainLimit")]
    [InlineData("--set", "meta.q=1e-300", "positive q")]
    [InlineData("--set", "model.msdnet.growthFactors=[1, 2]", "model.msdnet.growthFactors has 2 entries, bottleneckFactors 3")]
    public void Is_refused_in_one_line(string argument, string? value, string named)
    {
        string[] arguments = value is null ? [argument] : [argument, value];
        AssertRefused(ImtaProcess.Run(_folder.Path, ["train", "--out", "run", .. arguments]), named);
        Directory.EnumerateFileSystemEntries(_folder.Path).Should().BeEmpty("nothing half-written");
    }

    [Fact]
    public void A_folder_that_no_line_can_name_is_refused()
    {
        AssertRefused(
            ImtaProcess.Run(_folder.Path, "train", "--out", "two\nlines"),
            "the output path two\\u000alines contains a control character, such as a line break; choose another path");
    }

    [Fact]
    public void Options_that_do_not_suit_the_images_name_their_group_once()
    {
        AssertRefused(
            ImtaProcess.Run(_folder.Path, "cost", "--set", "data.dataset=imagenet", "--set", "model.msdnet.growthFactors=[1, 2, 4]",
                "--set", "model.msdnet.bottleneckFactors=[1, 2, 4]"),
            "imta: model.msdnet: growthFactors lists 3 scales and bottleneckFactors 3: an MSDNet for 224×224 images has 4");
        AssertRefused(
            ImtaProcess.Run(_folder.Path, "cost", "--set", "data.dataset=imagenet", "--set", "model.backbone=ranet"),
            "imta: model.ranet: scaleList is [1, 2, 3]: for 224×224 images it goes from 1 to 4");
        AssertRefused(
            ImtaProcess.Run(_folder.Path, "cost", "--set", "model.msdnet.growth=3", "--set", "model.msdnet.growthFactors=[1, 1, 2]"),
            "imta: model.msdnet: growth 3 times a growth factor is odd");
    }

    [Fact]
    public void A_data_folder_without_the_files_names_file_folder_and_source()
    {
        AssertRefused(Cifar("."), "data_batch_1.bin", _folder.Path, "https://www.cs.toronto.edu/~kriz/cifar.html");
    }

    [Fact]
    public void A_truncated_data_file_is_refused()
    {
        foreach (string name in (string[])["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
            "data_batch_5.bin", "test_batch.bin"])
        {
            File.WriteAllBytes(_folder.In(name), new byte[name == "data_batch_3.bin" ? 3072 : 3073]);
        }

        AssertRefused(Cifar("."), "data_batch_3.bin", "3073");
    }

    [Fact]
    public void A_run_folder_that_is_taken_is_left_alone()
    {
        Directory.CreateDirectory(_folder.In("my run"));
        File.WriteAllText(_folder.In("my run", "environment.json"), RunFiles.Environment);

        AssertRefused(
            ImtaProcess.Run(_folder.Path, "train", "--out", "my run"),
            "my run already contains a run", "--force", "--out", "or resume it: imta train --resume 'my run'");

        File.ReadAllText(_folder.In("my run", "environment.json")).Should().Be(RunFiles.Environment);
    }

    [Fact]
    public void A_folder_that_holds_something_else_is_not_replaced_even_by_force()
    {
        Directory.CreateDirectory(_folder.In("thesis"));
        File.WriteAllText(_folder.In("thesis", "chapter1.tex"), "precious");

        AssertRefused(ImtaProcess.Run(_folder.Path, "train", "--out", "thesis", "--force"), "thesis", "--out");

        File.Exists(_folder.In("thesis", "chapter1.tex")).Should().BeTrue();
    }

    [Theory]
    [InlineData("config.yaml", "model: resnet")]
    [InlineData("environment.json", "[]")]
    [InlineData("environment.json", """{"version": 1, "dotnet": "10"}""")]
    public void Files_named_like_a_runs_do_not_make_a_folder_a_run(string name, string content)
    {
        Directory.CreateDirectory(_folder.In("theirs", "checkpoints"));
        File.WriteAllText(_folder.In("theirs", name), content);
        File.WriteAllText(_folder.In("theirs", "checkpoints", "latest.pt"), "precious");

        AssertRefused(
            ImtaProcess.Run(_folder.Path, "train", "--out", "theirs", "--force"), "theirs is not empty and is not a run folder", "--out");

        File.ReadAllText(_folder.In("theirs", name)).Should().Be(content);
        File.ReadAllText(_folder.In("theirs", "checkpoints", "latest.pt")).Should().Be("precious");
    }

    [Theory]
    [InlineData("train", "--out", "/proc/run")]
    [InlineData("cost", "--out", "/proc/cost.csv")]
    public void A_folder_that_takes_no_files_is_named_not_the_file_that_was_tried(params string[] arguments)
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "elsewhere there is no /proc");

        ImtaProcess.Run(_folder.Path, arguments).Error.Should().MatchRegex(
            "^imta: /proc/(run|cost.csv) cannot be written \\(no file can be created in /proc: .*\\); choose another .* with --out\n$");
    }

    [Theory]
    [InlineData("file.txt/run")]
    [InlineData("/proc/run")]
    public void An_output_folder_that_cannot_be_written_is_refused(string path)
    {
        File.WriteAllText(_folder.In("file.txt"), "");
        AssertRefused(ImtaProcess.Run(_folder.Path, "train", "--out", path), path, "--out");
    }

    [Fact]
    public void LIBTORCH_pointing_nowhere_is_refused()
    {
        AssertRefused(ImtaProcess.Run(_folder.Path, [("LIBTORCH", "/nowhere")], "train", "--out", "run"), "LIBTORCH", "/nowhere");
    }

    [Fact]
    public void A_damaged_checkpoint_is_refused()
    {
        Directory.CreateDirectory(_folder.In("run", "checkpoints"));
        File.WriteAllText(_folder.In("run", "checkpoints", "latest.pt"), "not a checkpoint");

        AssertRefused(ImtaProcess.Run(_folder.Path, "train", "--resume", "run"), "latest.pt");
    }

    [Fact]
    public void Resuming_takes_the_folder_of_a_run()
    {
        AssertRefused(ImtaProcess.Run(_folder.Path, "train", "--resume", "nowhere"), "nowhere");
    }

    [Fact]
    public void Resuming_does_not_take_other_settings()
    {
        AssertRefused(ImtaProcess.Run(_folder.Path, "train", "--resume", "run", "--seed", "3"), "--resume");
    }

    private ImtaProcess.Result Cifar(string data)
        => ImtaProcess.Run(
            _folder.Path, "train", "--out", "run", "--set", "data.dataset=cifar10", "--data", Path.Combine(_folder.Path, data));

    private void AssertRefused(ImtaProcess.Result result, params string[] named)
    {
        result.Code.Should().Be(2, result.All);
        result.Output.Should().BeEmpty();
        result.Error.Should().StartWith("imta: ").And.EndWith("\n");
        result.Error.TrimEnd('\n').Should().NotContain("\n", "one line").And.NotContain("   at ");
        foreach (string name in named)
        {
            result.Error.Should().Contain(name);
        }
    }
}
