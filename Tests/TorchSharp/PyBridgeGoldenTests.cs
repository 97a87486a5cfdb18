using System.Collections;
using Imta.MetaWeight.Experiments.Verification;
using TorchSharp.PyBridge;

namespace Imta.MetaWeight.Tests.PyBridge;

/// <summary>Files that PyTorch itself wrote.</summary>
public sealed class PyBridgeGoldenTests
{
    [SkippableTheory]
    [InlineData("pytorch_files/dtypes_zip.pt", "pytorch_files/dtypes_expected.pt")]
    [InlineData("pytorch_files/views_zip.pt", "pytorch_files/views_expected.pt")]
    [InlineData("pytorch_files/dtypes_legacy.pt", "pytorch_files/dtypes_expected.pt")]
    [InlineData("pytorch_files/views_legacy.pt", "pytorch_files/views_expected.pt")]
    public void Every_element_type_and_every_view_is_read_to_the_bit(string file, string expectations)
    {
        using var scope = NewDisposeScope();
        using GoldenFile expected = GoldenFiles.Open(expectations);
        Hashtable actual = PyTorchUnpickler.UnpickleStateDict(GoldenFiles.Find(file));

        foreach (string key in expected.Keys)
        {
            const string Bits = "/float64_bits";
            string name = key.Replace(Bits, "", StringComparison.Ordinal);
            var tensor = (Tensor)actual[name]!;
            tensor.is_contiguous().Should().BeTrue(name);
            tensor.shape.Should().Equal(expected[key].shape, name);
            BitsOf(tensor, expected[key].dtype, asBits: key != name).Should().Equal(BitsOf(expected[key], expected[key].dtype, asBits: false), name);
        }

        actual.Count.Should().Be(expected.Keys.Count());
    }

    private static long[] BitsOf(Tensor tensor, ScalarType type, bool asBits)
    {
        using Tensor real = tensor.to_type(asBits ? ScalarType.Float64 : type);
        return real.dtype == ScalarType.Float64 ? [.. real.data<double>().ToArray().Select(BitConverter.DoubleToInt64Bits)] : real.data<long>().ToArray();
    }

    [SkippableFact]
    public void Every_golden_file_is_read()
    {
        string folder = Environment.GetEnvironmentVariable("IMTA_GOLDEN") ?? "";
        Skip.IfNot(Directory.Exists(folder), "IMTA_GOLDEN names no folder of golden numbers");
        string[] files = [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories)
            .Where(file => file.EndsWith(".pt", StringComparison.Ordinal) || file.EndsWith(".tar", StringComparison.Ordinal))];
        files.Should().HaveCountGreaterThan(20);

        foreach (string file in files)
        {
            using var scope = NewDisposeScope();
            Hashtable contents = PyTorchUnpickler.UnpickleStateDict(file);
            contents.Count.Should().BePositive(file);
        }
    }

    [SkippableTheory]
    [InlineData("pytorch_files/l2w_checkpoint_zip.pth.tar")]
    [InlineData("pytorch_files/l2w_checkpoint_legacy.pth.tar")]
    public void A_published_checkpoint_is_read_with_all_its_values(string file)
    {
        using var scope = NewDisposeScope();
        using GoldenFile expected = GoldenFiles.Open("pytorch_files/l2w_checkpoint_expected.pt");
        Hashtable checkpoint = PyTorchUnpickler.UnpickleStateDict(GoldenFiles.Find(file));

        checkpoint["epoch"].Should().Be(expected.Int("epoch"));
        checkpoint["best_prec1"].Should().Be(expected.Real("best_prec1"));
        checkpoint["is_best"].Should().Be(expected.Int("is_best") == 1);
        foreach (string part in new[] { "state_dict", "meta_state_dict" })
        {
            var state = (Hashtable)checkpoint[part]!;
            expected.Names(part).Should().BeEquivalentTo(state.Keys.Cast<string>()).And.NotBeEmpty();
            foreach (string name in expected.Names(part))
            {
                expected.Compare($"{part}/{name}", (Tensor)state[name]!, tolerance: 1e-14);
            }
        }

        var optimiser = (Hashtable)checkpoint["meta_optimizer"]!;
        var group = (Hashtable)((ArrayList)optimiser["param_groups"]!)[0]!;
        group["betas"].Should().BeEquivalentTo(new object[] { 0.9, 0.999 }, options => options.WithStrictOrdering());
        var slots = (Hashtable)optimiser["state"]!;
        foreach (string index in expected.Names("meta_optimizer/exp_avg"))
        {
            var slot = (Hashtable)slots[long.Parse(index, System.Globalization.CultureInfo.InvariantCulture)]!;
            expected.Compare($"meta_optimizer/exp_avg/{index}", (Tensor)slot["exp_avg"]!, tolerance: 1e-14);
        }
    }

    [SkippableTheory]
    [InlineData("phase1")]
    [InlineData("phase2")]
    public void Published_two_phase_networks_are_read(string phase)
    {
        using var scope = NewDisposeScope();
        using GoldenFile expected = GoldenFiles.Open("pytorch_files/imta_expected.pt");
        Hashtable checkpoint = PyTorchUnpickler.UnpickleStateDict(GoldenFiles.Find($"pytorch_files/imta_{phase}_module.pth.tar"));
        var state = (Hashtable)checkpoint["state_dict"]!;
        expected.Names(phase).Should().BeEquivalentTo(state.Keys.Cast<string>()).And.NotBeEmpty();
        foreach (string name in expected.Names(phase))
        {
            expected.Compare($"{phase}/{name}", (Tensor)state[name]!, tolerance: 1e-14);
        }
    }

    [SkippableFact]
    public void Large_tensors_that_are_views_of_a_small_storage_are_read_whole()
    {
        using var scope = NewDisposeScope();
        using GoldenFile expected = GoldenFiles.Open("pytorch_files/l2w_fullshape_expected.pt");
        Hashtable checkpoint = PyTorchUnpickler.UnpickleStateDict(GoldenFiles.Find("pytorch_files/l2w_fullshape_views.pth.tar"));
        var state = (Hashtable)checkpoint["state_dict"]!;
        expected.KeysUnder("shape").Should().BeEquivalentTo(state.Keys.Cast<string>()).And.NotBeEmpty();
        foreach (string name in expected.KeysUnder("shape"))
        {
            var tensor = (Tensor)state[name]!;
            tensor.shape.Should().Equal(expected[$"shape/{name}"].data<long>().ToArray(), name);
            double[] values = tensor.to_type(ScalarType.Float64).data<double>().ToArray();
            GoldenFile.RelativeError(GoldenFile.Sums(values), expected[$"stat/{name}"].data<double>().ToArray()).Should().BeLessThan(1e-12, name);
        }
    }
}
