using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using static Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles.HostileFileTests;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Pickled values of every kind beside a tensor, as Python writes them: a character a byte, the instructions are letters. What would
/// take code to make is opaque, and nothing is executed.
/// </summary>
public sealed class OpaqueValuesTests
{
    private const string View = HostileFileTests.Storage + "K\0K\u0004\u0085K\u0001\u0085\u0089" + Hooks;
    private const string Complex = "(X\u0007\0\0\0storagectorch\nComplexFloatStorage\nX\u0001\0\0\01X\u0003\0\0\0cpuK\u0004tQ";
    private const string Type = "cnumpy\ndtype\n(X\u0002\0\0\0f8K\0K\u0001tR(K\u0003X\u0001\0\0\0<NNNJ\u00ff\u00ff\u00ff\u00ff"
        + "J\u00ff\u00ff\u00ff\u00ffK\0tb";

    public static TheoryData<string, string> Opaque => new()
    {
        {
            "cnumpy.core.multiarray\nscalar\n(" + Type + "c_codecs\nencode\n(X\u0001\0\0\00X\u0006\0\0\0latin1tRtR",
            "numpy.core.multiarray.scalar"
        },
        {
            "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\u0085C\u0001btR(K\u0001K\u0001\u0085" + Type + "\u0089C\u0001atb",
            "numpy.ndarray"
        },
        { "cargparse\nNamespace\n)\u0081}X\u0002\0\0\0lrG?\0\0\0\0\0\0\0sb", "argparse.Namespace" },
        { "ccopy_reg\n_reconstructor\n(cm\nC\nc__builtin__\nobject\nNtR(dVa\nI1\nsb", "m.C" },
        { "(im\nC\n(dVa\nI1\nsb", "m.C" },
        { "(cm\nC\nK\u0001o}b", "m.C" },
        { "cm\nC\n)}X\u0001\0\0\0aK\u0001s\u0092", "m.C" },
        { "c__builtin__\nset\n](K\u0001K\u0002e\u0085R", "set" },
        { "\u008f(K\u0001K\u0002\u0090", "set" },
        { "(K\u0001\u0091", "set" },
        { "ccollections\ndefaultdict\nc__builtin__\nlist\n\u0085RX\u0001\0\0\0a]s", "collections.defaultdict" },
        { "ccollections\nCounter\n}(K\u0096K\u0001u\u0085R", "collections.Counter" },
        { "ccollections\ndeque\n)R(K\u0001K\u0002e", "collections.deque" },
        { "ccollections\nOrderedDict\n](K\u0001e\u0085R", "collections.OrderedDict" }, // no pairs
        { "ctorch\ndevice\nX\u0004\0\0\0cudaK\0\u0086R", "torch.device" },
        { "ctorch\nfloat32\n", "torch.float32" },
        { "c__builtin__\ncomplex\nG\0\0\0\0\0\0\0\0G?\u00f0\0\0\0\0\0\0\u0086R", "complex" },
        { "C\u0002\u00ff\0", "bytes" },
        { "B\u0002\0\0\0\u00ff\0", "bytes" },
        { "\u008e\u0002\0\0\0\0\0\0\0\u00ff\0", "bytes" },
        { "\u0096\u0002\0\0\0\0\0\0\0\u00ff\0", "bytes" },
        { "U\u0002\u00ff\0", "str" }, // bytes, in Python 2
        { "X\u0003\0\0\0\u00ed\u00a0\u0080", "str" }, // half a surrogate pair
        { "\u008a\u0009\0\0\0\0\0\0\0\0\u0001", "int" },
        { "\u008b\u0009\0\0\0\0\0\0\0\0\0\0\0\u0001", "int" },
        { "L-123456789012345678901234L\n", "int" },
        { "ctorch\nFloatStorage\n", "torch.FloatStorage" },
        { HostileFileTests.Storage, "torch.FloatStorage" },
        {
            "ctorch._utils\n_rebuild_tensor_v2\n(" + Complex + "K\0K\u0004\u0085K\u0001\u0085\u0089" + Hooks + "tR",
            "torch.ComplexFloatStorage"
        },
        { "ctorch._utils\n_rebuild_tensor_v2\n(" + View + "}X\u0004\0\0\0conj\u0088stR", "torch._utils._rebuild_tensor_v2" },
        { "ctorch._utils\n_rebuild_qtensor\n(" + View + "tR", "torch._utils._rebuild_qtensor" },
        { "ctorch._utils\n_rebuild_tensor_v2\n)R", "torch._utils._rebuild_tensor_v2" },
        { "cos\nsystem\n(X\u0015\0\0\0touch imta-was-here-1tR", "os.system" },
        { "\u008c\u0008builtins\u008c\u0004eval\u0093X\u0001\0\0\01\u0085R", "eval" },
        { "ctorch.storage\n_load_from_bytes\nC\u0001a\u0085R", "torch.storage._load_from_bytes" },
    };

    public static TheoryData<string, object> Plain => new()
    {
        { "I5\n", 5L }, { "I-5\n", -5L }, { "I01\n", true }, { "I00\n", false }, { "L5L\n", 5L }, { "\u008b\u0001\0\0\0\u0005", 5L },
        { "F0.5\n", 0.5 }, { "F-inf\n", double.NegativeInfinity }, { "F1e-05\n", 1e-5 },
        { "U\u0003a\u00c3\u00a9", "aé" }, { "T\u0003\0\0\0a\u00c3\u00a9", "aé" }, { "\u008d\u0001\0\0\0\0\0\0\0a", "a" },
        { "S'a\\'\\\\\\xc3\\xa9\\n'\n", "a'\\é\n" }, { "S\"it's\"\n", "it's" }, { "Va\u00e9\\u8a9e\\U0001f600\\u005cU\n", "aé語😀\\U" },
        { "I5\np7\n0g7\n", 5L }, { "K\u0005(K\u0001K\u00021", 5L }, { "K\u0005(0", 5L }, { "K\u000520", 5L },
        { "K\u0005ccollections\nCounter\n0", 5L },
    };

    [Theory]
    [MemberData(nameof(Opaque))]
    public void What_would_take_code_to_make_is_opaque_and_the_rest_is_read(string value, string kind)
    {
        using var scope = NewDisposeScope();
        const string Tensor = "ctorch._utils\n_rebuild_tensor_v2\n(" + View + "tR";
        TorchDictionary contents = Read($"{Start}X\u0001\0\0\0b(lX\u0001\0\0\0a{value}X\u0001\0\0\0t{Tensor}u.");

        contents["a"].Should().BeAssignableTo<TorchOpaque>().Which.ToString().Should().Be($"'{kind}'");
        contents.Tensor("t").data<float>().ToArray().Should().Equal(1, 2, 3, 4);
        contents["b"].Should().BeOfType<TorchList>().Which.Items.Should().BeEmpty();
        contents.Invoking(read => read.Tensor("a")).Should().Throw<InvalidDataException>()
            .WithMessage($"its 'a' is the Python object '{kind}', which is not supported; in Python, turn it into a plain tensor and *");
        File.Exists("imta-was-here-1").Should().BeFalse();
    }

    /// <summary>One element or two, expanded to 2^32 or 2^25: alone, or only together, more than the file may take in memory.</summary>
    [Fact]
    public void Tensors_expanded_beyond_all_bounds_are_passed_over()
    {
        using var scope = NewDisposeScope();
        string[] views =
        [
            "K\0\u008a\u0005\0\0\0\0\u0001\u0085K\0\u0085", "K\0J\0\0\0\u0002\u0085K\0\u0085", "K\u0001J\0\0\0\u0002\u0085K\0\u0085",
        ];
        string[] tensors = [.. views.Append("K\0K\u0004\u0085K\u0001\u0085")
            .Select(view => "ctorch._utils\n_rebuild_tensor_v2\n(" + HostileFileTests.Storage + view + "\u0089" + Hooks + "tR")];

        foreach (string[] expanded in (string[][])[[tensors[0], tensors[0]], [tensors[1], tensors[2]]])
        {
            TorchDictionary contents = Read(
                $"{Start}X\u0001\0\0\0a{expanded[0]}X\u0001\0\0\0b{expanded[1]}X\u0001\0\0\0t{tensors[3]}u.");

            contents.Tensor("t").data<float>().ToArray().Should().Equal(1, 2, 3, 4);
            contents.Invoking(read => read.Tensor("b")).Should().Throw<InvalidDataException>().WithMessage("its 'b' is a tensor "
                + "expanded to * bytes, which is too large for a file of this size; in Python, save what it was expanded from");
        }
    }

    [Theory]
    [MemberData(nameof(Plain))]
    public void Values_of_every_protocol_are_read(string value, object expected)
    {
        TorchValue read = Read(Dictionary(value))["a"];
        object plain = read switch
        {
            TorchInteger(var number) => (object)number,
            TorchFloat(var number) => number,
            TorchString(var text) => text,
            TorchBool(var truth) => truth,
            _ => read,
        };
        plain.Should().Be(expected);
    }

    [Fact]
    public void Containers_of_every_protocol_are_read()
    {
        ((TorchList)Read(Dictionary("(lp0\nI1\naI2\na"))["a"]).Items.Should().Equal(1L, 2L);
        ((TorchList)Read(Dictionary("(I1\nI2\nl"))["a"]).Items.Should().Equal(1L, 2L);
        ((TorchTuple)Read(Dictionary("(I1\nI2\ntp1\n"))["a"]).Items.Should().Equal(1L, 2L);
        Read(Dictionary("(VA\nI1\nd")).Dictionary("a").Integer("A").Should().Be(1);
        Read(Dictionary("(dp1\nS'A'\nI1\ns")).Dictionary("a").Integer("A").Should().Be(1);
        const string Python2 = "ccollections\nOrderedDict\n](](U\u0001Ai1e](U\u0001BI2\nee\u0085R";
        Read(Dictionary(Python2.Replace("i1", "I1\n", StringComparison.Ordinal))).Dictionary("a").Entries.Keys.Select(key => key.Text)
            .Should().Equal("A", "B");
    }

    [Fact]
    public void Entries_whose_keys_are_no_names_and_no_integers_are_left_out()
    {
        string[] keys =
        [
            "G?\u00e0\0\0\0\0\0\0", "K\u0001K\u0002\u0086", "N", "\u0088", "C\u0001a", "X\u0088\u0013\0\0" + new string('k', 5000),
            "cm\nC\n", "\u008a\u0009\0\0\0\0\0\0\0\0\u0001",
        ];
        TorchDictionary contents = Read(Dictionary($"}}({string.Concat(keys.Select(key => key + "N"))}K\u0007NU\u0001sNu"));
        contents.Dictionary("a").Entries.Keys.Select(key => key.ToString()).Should().Equal("7", "s");
    }

    /// <summary>A file with all of these values.</summary>
    internal static byte[] Sample()
        => Archive(
            ("a/data.pkl", Latin(Dictionary($"]({string.Concat(Opaque.Concat(Plain).Select(row => row[0]))}e"))),
            ("a/data/0", [.. new float[] { 1, 2, 3, 4 }.SelectMany(BitConverter.GetBytes)])).ToArray();

    private static TorchDictionary Read(string pickle)
    {
        byte[] elements = [.. new float[] { 1, 2, 3, 4 }.SelectMany(BitConverter.GetBytes)];
        return TorchFileReader.Read(Archive(("a/data.pkl", Latin(pickle)), ("a/data/0", elements)));
    }
}
