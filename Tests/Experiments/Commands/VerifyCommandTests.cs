using System.Text.Json;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Verification;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta verify</c> as a user runs it.</summary>
public sealed class VerifyCommandTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>A file of each kind that is quick to compute; GoldenVerificationTests have them all.</summary>
    [Theory]
    [InlineData("--gradient", "forward")]
    [InlineData("--gradient", "unrolled")]
    public void Golden_values_hold_by_either_exact_method(params string[] arguments)
    {
        string[] files =
        [
            "meta_step_nesterov.pt", "allocation.pt", "dynamic_eval_few.pt", "longtail_counts.csv", "pytorch_files/views_legacy.pt",
            "pytorch_files/views_expected.pt",
        ];
        Array.ForEach(files, file => CopyGolden(file));

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, ["verify", ".", .. arguments]);

        result.Code.Should().Be(0, result.All);
        result.Error.Should().BeEmpty();
        string[] lines = result.Output.TrimEnd().Split('\n');
        lines[0].Should().MatchRegex("^case +quantity +error +tolerance +verdict$");
        lines.Should()
            .Contain(
                line
                    => line.StartsWith("meta_step_nesterov.pt", StringComparison.Ordinal) && line.Contains(" wpn_grad ")
                        && line.EndsWith(" pass", StringComparison.Ordinal));
        lines.Should()
            .Contain(
                line
                    => line.StartsWith("views_legacy.pt", StringComparison.Ordinal)
                        && line.Contains(" written as safetensors ") && line.EndsWith(" pass", StringComparison.Ordinal));
        lines[^1].Should().MatchRegex("^[0-9]+ passed, 0 failed, 0 not covered$");
    }

    [Fact]
    public void Strict_counts_what_is_not_covered_as_failed()
    {
        WriteChanged("allocation.pt", "allocation.pt", (_, tensor) => tensor, more: ("k3/new/thing", tensor(1.0)));
        ImtaProcess.Run(_folder.Path, "verify", ".").Code.Should().Be(0);
        ImtaProcess.Result strict = ImtaProcess.Run(_folder.Path, "verify", ".", "--strict");
        strict.Code.Should().Be(1);
        strict.Error.Should().Contain("which is not computed by this build");
    }

    [Fact]
    public void Json_is_an_array_of_the_same_five_fields()
    {
        CopyGolden("names_imagenet_step4.csv");
        WriteChanged("allocation.pt", "with_more_allocation.pt", (_, tensor) => tensor); // of no kind that its name tells
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "verify", ".", "--json", "--device", "cpu", "--gradient", "unrolled");

        result.Code.Should().Be(0, result.All);
        JsonElement[] rows = [.. JsonDocument.Parse(result.Output).RootElement.EnumerateArray()];
        rows.Should()
            .OnlyContain(
                row
                    => row.EnumerateObject().Select(field => field.Name)
                        .SequenceEqual(new[] { "case", "quantity", "error", "tolerance", "verdict" }));
        rows[0].GetProperty("case").GetString().Should().Be("names_imagenet_step4.csv");
        rows[0].GetProperty("error").GetDouble().Should().Be(0);
        rows.Select(row => row.GetProperty("verdict").GetString()).Distinct().Should().BeEquivalentTo("pass", "not covered");
    }

    [Fact]
    public void A_file_may_have_any_suffix_and_one_number_that_differs_is_a_failure()
    {
        WriteChanged(
            "allocation.pt", "allocation_of_mine.pt",
            (key, tensor) => key == "k3/p13/meta_loss" ? tensor.mul(Held(1 + 1e-7)) : tensor);

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "verify", ".");

        result.Code.Should().Be(1, result.All);
        result.Output.Split('\n').Should().ContainSingle(line => line.EndsWith(" fail", StringComparison.Ordinal))
            .Which.Should().StartWith("allocation_of_mine.pt").And.Contain("k3 meta_loss").And.Contain("1.0e-07");
    }

    [Fact]
    public void A_file_of_PyTorch_with_another_element_or_name_than_expected_fails_and_without_expectations_is_not_covered()
    {
        CopyGolden("pytorch_files/dtypes_legacy.pt");
        CopyGolden("pytorch_files/views_zip.pt", "views_other_zip.pt");
        CopyGolden("pytorch_files/views_zip.pt", "lonely_zip.pt");
        WriteChanged(
            "pytorch_files/dtypes_expected.pt", "dtypes_expected.pt",
            (key, tensor) => key == "int64" ? tensor.add(Held(1), One) : tensor);
        WriteChanged("pytorch_files/views_expected.pt", "views_expected.pt", (_, tensor) => tensor, more: ("new", tensor(1.0)));

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "verify", ".");

        result.Code.Should().Be(1, result.All);
        string[] lines = result.Output.Split('\n');
        lines.Where(line => line.EndsWith(" fail", StringComparison.Ordinal))
            .Select(line => string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[..3]))
            .Should().BeEquivalentTo("dtypes_legacy.pt int64 7.0e00", "views_other_zip.pt new Infinity", "views_other_zip.pt names 1.0e00");
        lines.Should().ContainSingle(line => line.StartsWith("lonely_zip.pt", StringComparison.Ordinal)).Which.Should()
            .EndWith(" not covered");
    }

    [Fact]
    public void A_result_that_nothing_computes_is_not_covered()
    {
        WriteChanged("allocation.pt", "allocation.pt", (_, tensor) => tensor, more: ("k3/new/thing", tensor(1.0)));

        ImtaProcess.Run(_folder.Path, "verify", ".").Output.Split('\n').Should()
            .ContainSingle(
                line
                    => line.StartsWith("allocation.pt", StringComparison.Ordinal) && line.EndsWith("not covered", StringComparison.Ordinal))
            .Which.Should().Contain("k3 thing");
    }

    [Fact]
    public void A_file_that_cannot_be_read_or_lacks_a_key_fails_with_a_line_and_the_others_go_on()
    {
        File.WriteAllText(_folder.In("meta_step_torn.pt"), "no archive");
        WriteChanged("allocation.pt", "msdnet_cifar_other.pt", (_, tensor) => tensor);
        File.WriteAllText(_folder.In("flops_other.csv"), "arch,data\nMSDNet,cifar10\n");
        File.WriteAllText(_folder.In("class_balanced_weights_none.csv"), "classes,factor,beta,class,count,weight\n");
        CopyGolden("names_imagenet_step4.csv");
        foreach (string unknown in (string[])["mine.pt", "half_zip.pt"]) // of no kind that its name tells, or without expected values
        {
            CopyGolden("pytorch_files/views_zip.pt", unknown);
            using FileStream half = File.OpenWrite(_folder.In(unknown));
            half.SetLength(half.Length / 2);
        }

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "verify", ".");

        result.Code.Should().Be(1, result.All);
        result.Output.Should().Contain("2 passed, 6 failed, 0 not covered");
        result.Error.TrimEnd().Split('\n').Should()
            .HaveCount(6).And.OnlyContain(line => line.StartsWith("imta: ", StringComparison.Ordinal));
        result.Error.Should().NotContain("   at ").And.NotContain("Exception");
        result.Error.Split('\n').Should().OnlyContain(line => line.Split("meta_step_torn.pt", StringSplitOptions.None).Length <= 2);
    }

    [Fact]
    public void Files_of_one_name_in_two_folders_are_told_apart_and_what_broke_off_keeps_what_was_compared()
    {
        Directory.CreateDirectory(_folder.In("one"));
        Directory.CreateDirectory(_folder.In("two"));
        WriteChanged("allocation.pt", "one/allocation.pt", (_, tensor) => tensor);
        WriteChanged(
            "allocation.pt", "two/allocation.pt",
            (key, tensor) => key == "n50/targets" ? tensor.add(Held(100), One) : tensor); // no such class
        Directory.CreateSymbolicLink(_folder.In("two", "again"), "..");

        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, "verify", ".");

        result.Code.Should().Be(1, result.All);
        result.Output.Split('\n')
            .Count(
                line => line.StartsWith("one/allocation.pt", StringComparison.Ordinal) && line.EndsWith(" pass", StringComparison.Ordinal))
            .Should()
            .Be(17);
        string[] broken = [.. result.Output.Split('\n').Where(line => line.StartsWith("two/allocation.pt", StringComparison.Ordinal))];
        broken.Should().Contain(line => line.Contains("n257 selected") && line.EndsWith(" pass", StringComparison.Ordinal));
        broken.Should().ContainSingle(line => line.Contains("whole case") && line.EndsWith(" fail", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("verify")]
    [InlineData("verify", "missing")]
    [InlineData("verify", ".")]
    [InlineData("verify", ".", "--gradient", "magic")]
    [InlineData("verify", ".", "--device", "abacus")]
    public void Wrong_input_is_one_line(params string[] arguments)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, arguments);

        result.Code.Should().Be(2, result.All);
        result.Output.Should().BeEmpty();
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().StartWith("imta: ");
    }

    public void Dispose() => _folder.Dispose();

    private void CopyGolden(string name, string? to = null)
        => File.Copy(Path.Combine(GoldenFiles.Folder, name), _folder.In(to ?? Path.GetFileName(name)));

    private void WriteChanged(string from, string to, Func<string, Tensor, Tensor> change, params (string Key, Tensor Value)[] more)
    {
        using DisposeScope scope = NewDisposeScope();
        using GoldenFile golden = GoldenFile.Open(Path.Combine(GoldenFiles.Folder, from));
        var changed = golden.Keys.ToDictionary(key => key, key => change(key, golden[key]));
        foreach ((string key, Tensor value) in more)
        {
            changed.Add(key, value);
        }

        TorchFileWriter.Write(_folder.In(to), new TorchDictionary(changed));
    }
}
