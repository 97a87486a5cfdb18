using System.Runtime.InteropServices;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Verification;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles;

/// <summary>Files that PyTorch itself wrote.</summary>
public sealed class PyTorchsFilesTests
{
    [Theory]
    [InlineData("pytorch_files/dtypes_zip.pt", "pytorch_files/dtypes_expected.pt")]
    [InlineData("pytorch_files/views_zip.pt", "pytorch_files/views_expected.pt")]
    [InlineData("pytorch_files/dtypes_legacy.pt", "pytorch_files/dtypes_expected.pt")]
    [InlineData("pytorch_files/views_legacy.pt", "pytorch_files/views_expected.pt")]
    public void Every_element_type_and_every_view_is_read_to_the_bit(string file, string expectations)
    {
        using var scope = NewDisposeScope();
        using GoldenFile expected = GoldenFiles.Open(expectations);
        TorchDictionary actual = TorchFileReader.Read(GoldenFiles.Find(file));

        foreach (string key in expected.Keys)
        {
            const string Bits = "/float64_bits";
            string name = key.Replace(Bits, "", StringComparison.Ordinal);
            Tensor tensor = actual.Tensor(name);
            tensor.is_contiguous().Should().BeTrue(name);
            tensor.shape.Should().Equal(expected[key].shape, name);
            BitsOf(tensor, expected[key].dtype, asBits: key != name).Should()
                .Equal(BitsOf(expected[key], expected[key].dtype, asBits: false), name);
        }

        actual.Entries.Count.Should().Be(expected.Keys.Count());
    }

    private static long[] BitsOf(Tensor tensor, ScalarType type, bool asBits)
    {
        using Tensor real = tensor.to_type(asBits ? ScalarType.Float64 : type);
        return MemoryMarshal.Cast<byte, long>(real.bytes).ToArray();
    }

    [Fact]
    public void Every_golden_file_is_read()
    {
        string[] files = [.. Directory.EnumerateFiles(GoldenFiles.Folder, "*", SearchOption.AllDirectories)
            .Where(file => file.EndsWith(".pt", StringComparison.Ordinal) || file.EndsWith(".tar", StringComparison.Ordinal))];
        files.Should().HaveCountGreaterThan(20);

        foreach (string file in files)
        {
            using var scope = NewDisposeScope();
            TorchDictionary contents = TorchFileReader.Read(file);
            contents.Entries.Count.Should().BePositive(file);
        }
    }

    [Theory]
    [InlineData("pytorch_files/l2w_checkpoint_zip.pth.tar")]
    [InlineData("pytorch_files/l2w_checkpoint_legacy.pth.tar")]
    public void A_published_checkpoint_is_read_with_all_its_values(string file)
    {
        using var scope = NewDisposeScope();
        using GoldenFile expected = GoldenFiles.Open("pytorch_files/l2w_checkpoint_expected.pt");
        TorchDictionary checkpoint = TorchFileReader.Read(GoldenFiles.Find(file));

        checkpoint["epoch"].Should().Be(new TorchInteger(expected.Int("epoch")));
        checkpoint["best_prec1"].Should().Be(new TorchFloat(expected.Real("best_prec1")));
        checkpoint["is_best"].Should().Be(new TorchBool(expected.Int("is_best") == 1));
        foreach (string part in new[] { "state_dict", "meta_state_dict" })
        {
            Dictionary<string, Tensor> state = checkpoint.Dictionary(part).Tensors();
            expected.Names(part).Should().BeEquivalentTo(state.Keys).And.NotBeEmpty();
            foreach (string name in expected.Names(part))
            {
                expected.Compare($"{part}/{name}", state[name], tolerance: 1e-14);
            }
        }

        TorchDictionary optimiser = checkpoint.Dictionary("meta_optimizer");
        var group = (TorchDictionary)optimiser["param_groups"].Parts.First();
        group["betas"].Should().BeOfType<TorchTuple>().Which.Items.Should().Equal(0.9, 0.999);
        TorchDictionary slots = optimiser.Dictionary("state");
        foreach (string index in expected.Names("meta_optimizer/exp_avg"))
        {
            TorchDictionary slot = slots.Dictionary(long.Parse(index, System.Globalization.CultureInfo.InvariantCulture));
            expected.Compare($"meta_optimizer/exp_avg/{index}", slot.Tensor("exp_avg"), tolerance: 1e-14);
        }
    }

    [Theory]
    [InlineData("phase1")]
    [InlineData("phase2")]
    public void Published_two_phase_networks_are_read(string phase)
    {
        using var scope = NewDisposeScope();
        using GoldenFile expected = GoldenFiles.Open("pytorch_files/imta_expected.pt");
        TorchDictionary checkpoint = TorchFileReader.Read(GoldenFiles.Find($"pytorch_files/imta_{phase}_module.pth.tar"));
        Dictionary<string, Tensor> state = checkpoint.Dictionary("state_dict").Tensors();
        expected.Names(phase).Should().BeEquivalentTo(state.Keys).And.NotBeEmpty();
        foreach (string name in expected.Names(phase))
        {
            expected.Compare($"{phase}/{name}", state[name], tolerance: 1e-14);
        }
    }

    [Fact]
    public void Large_tensors_that_are_views_of_a_small_storage_are_read_whole()
    {
        using var scope = NewDisposeScope();
        using GoldenFile expected = GoldenFiles.Open("pytorch_files/l2w_fullshape_expected.pt");
        TorchDictionary checkpoint = TorchFileReader.Read(GoldenFiles.Find("pytorch_files/l2w_fullshape_views.pth.tar"));
        Dictionary<string, Tensor> state = checkpoint.Dictionary("state_dict").Tensors();
        expected.KeysUnder("shape").Should().BeEquivalentTo(state.Keys).And.NotBeEmpty();
        foreach (string name in expected.KeysUnder("shape"))
        {
            Tensor tensor = state[name];
            tensor.shape.Should().Equal(expected[$"shape/{name}"].data<long>().ToArray(), name);
            double[] values = tensor.to_type(ScalarType.Float64).data<double>().ToArray();
            GoldenFile.RelativeError(GoldenFile.Sums(values), expected[$"stat/{name}"].data<double>().ToArray()).Should()
                .BeLessThan(1e-12, name);
        }
    }
}
