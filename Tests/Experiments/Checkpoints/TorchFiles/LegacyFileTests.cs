using System.Text;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles;

/// <summary>Files in the format from before PyTorch 1.6, sound ones and such that lie.</summary>
public sealed class LegacyFileTests
{
    // Pickles are written below as Latin-1 text, a character a byte: the instructions are letters.
    private const string Magic = "\u0080\u0002\u008a\u000a\u006c\u00fc\u009c\u0046\u00f9\u0020\u006a\u00a8\u0050\u0019.";
    private const string Version = "\u0080\u0002M\u00e9\u0003.";
    private const string Sizes = "}(X\u0005\0\0\0shortK\u0002X\u0003\0\0\0intK\u0004X\u0004\0\0\0longK\u0004u";
    private const string Machine = "\u0080\u0002}(X\u0010\0\0\0protocol_versionM\u00e9\u0003X\u000d\0\0\0little_endian\u0088X\u000a\0\0\0"
        + "type_sizes" + Sizes + "u.";
    private const string Hooks = "ccollections\nOrderedDict\n)R";
    private const string Keys = "\u0080\u0002](X\u0001\0\0\0ke.";

    private static readonly byte[] Counting = [4, 0, 0, 0, 0, 0, 0, 0, 10, 11, 12, 13];

    [Fact]
    public void A_tensor_and_parts_of_its_storage_are_read()
    {
        using var scope = NewDisposeScope();
        TorchDictionary contents = Read(
            "(" + Text("whole") + Tensor("N", "K\0K\u0004\u0085K\u0001\u0085")
            + Text("part") + Tensor("X\u0001\0\0\0vK\u0001K\u0003\u0087", "K\u0001K\u0002\u0085K\u0001\u0085") + "u");

        contents.Tensor("whole").data<byte>().ToArray().Should().Equal(10, 11, 12, 13);
        contents.Tensor("part").data<byte>().ToArray().Should().Equal(12, 13);
    }

    [Fact]
    public void Tensors_of_PyTorch_before_0_4_are_read()
    {
        using var scope = NewDisposeScope();
        TorchDictionary contents = Read(
            "(" + Text("a") + $"ctorch._utils\n_rebuild_tensor\n({Storage("N")}K\u0001K\u0002\u0085K\u0002\u0085tRu");
        contents.Tensor("a").data<byte>().ToArray().Should().Equal(11, 13);
    }

    [Fact]
    public void Without_their_elements_tensors_have_shape_and_type_and_the_counts_are_held_all_the_same()
    {
        using var scope = NewDisposeScope();
        byte[] file = File(One());
        Tensor tensor = TorchFileReader.Read(new MemoryStream(file), elements: false).Tensor("a");
        tensor.device_type.Should().Be(DeviceType.META);
        tensor.shape.Should().Equal(4);

        Action read = () => TorchFileReader.Read(new MemoryStream(File(One(), elements: [5, .. Counting[1..]])), elements: false);
        read.Should().Throw<InvalidDataException>().WithMessage("*has 5 elements, not 4*");
    }

    [Fact]
    public void Any_pickle_protocol_from_2_to_5_may_start_it()
    {
        using var scope = NewDisposeScope();
        const string Frame = "\u0095\u000d\0\0\0\0\0\0\0";
        foreach (string magic in new[] { "\u0080\u0003" + Magic[2..], "\u0080\u0004" + Frame + Magic[2..],
            "\u0080\u0005" + Frame + Magic[2..] })
        {
            TorchFileReader.Read(new MemoryStream(File(One(), magic: magic))).Entries.Count.Should().Be(1);
        }
    }

    [Theory]
    [InlineData("N", "K\u0001K\u0004\u0085K\u0001\u0085", "*exceeds its storage 'k' of 4*")]
    // inside the storage, but not its part
    [InlineData("X\u0001\0\0\0vK\u0001K\u0002\u0087", "K\0K\u0003\u0085K\u0001\u0085", "*exceeds its storage 'k' of 2*")]
    [InlineData("X\u0001\0\0\0vK\u0001K\u0004\u0087", "K\0K\u0001\u0085K\u0001\u0085", "*a view of storage 'k' is not*inside it*")]
    [InlineData("X\u0001\0\0\0vK\u0005K\0\u0087", "K\0K\u0001\u0085K\u0001\u0085", "*a view of storage 'k' is not*inside it*")]
    // offset −1
    [InlineData("X\u0001\0\0\0vJ\u00ff\u00ff\u00ff\u00ffK\u0001\u0087", "K\0K\u0001\u0085K\u0001\u0085", "*a view of storage 'k' is not*")]
    // 1 + (2^63 − 1) wraps
    [
        InlineData(
            "X\u0001\0\0\0vK\u0001\u008a\u0008\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u007f\u0087", "K\0K\u0001\u0085K\u0001\u0085",
            "*a view of storage 'k' is not*")
    ]
    [InlineData("X\u0001\0\0\0kK\u0001K\u0002\u0087", "K\0K\u0001\u0085K\u0001\u0085", "*storage 'k' has two descriptions*")]
    [InlineData("K\u0001", "K\0K\u0001\u0085K\u0001\u0085", "*a view of storage 'k' is not*")]
    public void Views_that_lie_are_refused(string view, string tensor, string message)
        => Refused(File($"({Text("a")}{Tensor(view, tensor)}u"), message);

    [Fact]
    public void Persistent_ids_of_the_other_format_are_refused()
        => Refused(
            File($"({Text("a")}ctorch._utils\n_rebuild_tensor_v2\n({Storage("")}K\0K\u0004\u0085K\u0001\u0085\u0089{Hooks}tRu"),
            "*persistent id*");

    [Fact]
    public void Code_and_storages_that_are_not_read_are_passed_over()
    {
        using var scope = NewDisposeScope();
        string complex = $"(X\u0007\0\0\0storagectorch\nComplexDoubleStorage\nX\u0001\0\0\0cX\u0003\0\0\0cpuK\u0002NtQ";
        byte[] elements = [2, 0, 0, 0, 0, 0, 0, 0, .. new byte[32], .. Counting];
        TorchDictionary contents = TorchFileReader.Read(new MemoryStream(File(
            $"({Text("x")}cos\nsystem\n(X\u0002\0\0\0lstR{Text("c")}{complex}{Text("m")}(X\u0006\0\0\0modulecm\nC\nNNtQ{One()[1..]}",
            keys: "\u0080\u0002](X\u0001\0\0\0cX\u0001\0\0\0ke.", elements: elements)));

        contents.Tensor("a").data<byte>().ToArray().Should().Equal(10, 11, 12, 13);
        contents.Parts.OfType<TorchOpaque>().Select(value => $"{value}").Should()
            .Equal("'os.system'", "'torch.ComplexDoubleStorage'", "'m.C'");
    }

    [Fact]
    public void Text_protocols_start_it_too()
    {
        using var scope = NewDisposeScope();
        TorchDictionary contents = TorchFileReader.Read(new MemoryStream(TextSample()));

        contents.Tensor("whole").data<byte>().ToArray().Should().Equal(10, 11, 12, 13);
        contents.Tensor("part").data<byte>().ToArray().Should().Equal(12, 13);
    }

    [Fact]
    public void Facts_that_are_not_PyTorchs_are_refused()
    {
        Refused(File(One(), magic: Magic.Replace('\u0019', '\u0018')), "the stream is not a readable PyTorch file*magic number*");
        Refused(File(One(), version: "\u0080\u0002M\u00ea\u0003."), "*version is not 1001*");
        Refused(
            File(One(), machine: Machine.Replace("little_endian\u0088", "little_endian\u0089", StringComparison.Ordinal)),
            "*not in little-endian byte order*");
        Refused(
            File(One(), machine: Machine.Replace("shortK\u0002", "shortK\u0004", StringComparison.Ordinal)), "*record of the machine*");
        Refused(File(One(), machine: "\u0080\u0002}."), "*record of the machine*");
        Refused(File(One(), machine: "\u0080\u0002N."), "*record of the machine*");
    }

    [Theory]
    [InlineData("\u0080\u0002](X\u0001\0\0\0kX\u0001\0\0\0ke.", "*storage 'k' twice, or the pickle does not name it*")]
    [InlineData("\u0080\u0002](X\u0001\0\0\0xe.", "*storage 'x' twice, or the pickle does not name it*")]
    [InlineData("\u0080\u0002](e.", "*lacks storage 'k'*")]
    [InlineData("\u0080\u0002](K\u0001e.", "*is not a string*")]
    [InlineData("\u0080\u0002}.", "*no list of storages*")]
    public void Lists_of_storages_that_lie_are_refused(string keys, string message) => Refused(File(One(), keys: keys), message);

    [Fact]
    public void Elements_must_be_as_many_as_the_pickle_says()
    {
        Refused(File(One(), elements: [5, .. Counting[1..]]), "*storage 'k' has 5 elements, not 4*");
        Refused(File(One(), elements: Counting[..^1]), "*ends before the elements of storage 'k' do*");
        Refused(File(One(), elements: Counting[..4]), "*ends before the elements of storage 'k' do*");
        Refused(File(One(), elements: [.. Counting, 0]), "*storages end at*");
        const string Elements = "\u008a\u0008\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u007f"; // 2^63 − 1
        Refused(File($"({Text("a")}{Tensor("N", "K\0K\u0001\u0085K\u0001\u0085", Elements)}u"), "*ends before*");
    }

    [Fact]
    public void Pickles_over_16_MiB_are_refused_and_what_follows_is_not_looked_at()
        => Refused(File($"({Text("a")}X\0\0\0\u0002{new string('t', 32 << 20)}u"), "*exceeds the accepted 16 MiB*");

    [Fact]
    public void What_is_no_dictionary_is_refused()
        => Refused(File("", root: "\u0080\u0002].", keys: "\u0080\u0002].", elements: []), "*not contain a dictionary*");

    [Fact]
    public void The_message_names_the_file()
    {
        string path = Path.GetTempFileName();
        try
        {
            System.IO.File.WriteAllBytes(path, File(One(), elements: []));
            Action read = () => TorchFileReader.Read(path);
            read.Should().Throw<InvalidDataException>().WithMessage($"{path} is not a readable PyTorch file: it ends before*");
        }
        finally
        {
            System.IO.File.Delete(path);
        }
    }

    /// <summary>As protocol 0 writes it: persistent ids are the text of Python's tuples.</summary>
    internal static byte[] TextSample()
    {
        const string Id = "P('storage', <class 'torch.ByteStorage'>, 'k', 'cpu', 4, ";
        string items = $"(Vwhole\nctorch._utils\n_rebuild_tensor\n({Id}None)\nI0\n(I4\nt(I1\nttR"
            + $"Vpart\nctorch._utils\n_rebuild_tensor\n({Id}('v', 1, 3))\nI1\n(I2\nt(I1\nttR";
        return File("", "L119547037146038801333356L\n.", "I1001\n.", Machine[2..], root: $"(d{items}u.", keys: "(lVk\na.");
    }

    private static string Text(string text) => $"X{(char)text.Length}\0\0\0{text}";

    private static string Storage(string view, string count = "K\u0004")
        => $"(X\u0007\0\0\0storagectorch\nByteStorage\nX\u0001\0\0\0kX\u0003\0\0\0cpu{count}{view}tQ";

    private static string Tensor(string view, string tensor, string count = "K\u0004")
        => $"ctorch._utils\n_rebuild_tensor_v2\n({Storage(view, count)}{tensor}\u0089{Hooks}tR";

    private static string One() => $"({Text("a")}{Tensor("N", "K\0K\u0004\u0085K\u0001\u0085")}u";

    private static byte[] File(
        string items, string magic = Magic, string version = Version, string machine = Machine, string? root = null, string keys = Keys,
            byte[]? elements = null)
        => [.. Encoding.Latin1.GetBytes(magic + version + machine + (root ?? $"\u0080\u0002}}{items}.") + keys), .. elements ?? Counting];

    private static TorchDictionary Read(string items) => TorchFileReader.Read(new MemoryStream(File(items)));

    private static void Refused(byte[] file, string message)
    {
        using var scope = NewDisposeScope();
        Action read = () => TorchFileReader.Read(new MemoryStream(file));
        read.Should().ThrowExactly<InvalidDataException>().WithMessage(message);
        scope.DisposablesCount.Should().Be(0);
    }
}
