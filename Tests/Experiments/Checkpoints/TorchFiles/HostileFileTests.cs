using System.IO.Compression;
using System.Text;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles;

/// <summary>Files that lie, are damaged, or were made to do harm: each gives one InvalidDataException and leaves no tensor.</summary>
public sealed class HostileFileTests
{
    // Pickles are written below as Latin-1 text, a character a byte: the instructions are letters.
    internal const string Start = "\u0080\u0002}(";
    internal const string Storage = "(X\u0007\0\0\0storagectorch\nFloatStorage\nX\u0001\0\0\00X\u0003\0\0\0cpuK\u0004tQ";
    internal const string Hooks = "ccollections\nOrderedDict\n)R";

    private static readonly FileSoak.Reader Reader = new("TorchFileReader", file => TorchFileReader.Read(file));

    [Theory]
    [InlineData("K\u0001K\u0004\u0085K\u0001\u0085", "*exceeds its storage '0' of 4*")] // offset 1, 4 elements
    [InlineData("K\0K\u0003\u0085K\u0002\u0085", "*exceeds its storage*")] // elements 0, 2, 4
    [InlineData("J\u00ff\u00ff\u00ff\u00ffK\u0001\u0085K\u0001\u0085", "*is not a valid tensor*")] // offset −1
    [InlineData("K\0J\u00ff\u00ff\u00ff\u00ff\u0085K\u0001\u0085", "*is not a valid tensor*")] // size −1
    [InlineData("K\0K\u0002\u0085J\u00ff\u00ff\u00ff\u00ff\u0085", "*is not a valid tensor*")] // stride −1
    [InlineData("K\0K\u0002K\u0002\u0086K\u0001\u0085", "*2 dimensions and 1 strides*")]
    // 2^62 + 1 elements, 2^62 apart: wraps to 0
    [InlineData("K\0\u008a\u0008\u0001\0\0\0\0\0\0\u0040\u0085\u008a\u0008\0\0\0\0\0\0\0\u0040\u0085", "*exceeds its storage*")]
    // [2^62, 4]: wraps to 0
    [InlineData("K\0\u008a\u0008\0\0\0\0\0\0\0\u0040K\u0004\u0086K\0K\0\u0086", "*more elements than fit in memory*")]
    [InlineData("K\0X\u0001\0\0\03\u0085K\u0001\u0085", "*not an integer*")]
    public void Views_that_lie_are_refused(string view, string message)
        => Refused(Dictionary($"ctorch._utils\n_rebuild_tensor_v2\n({Storage}{view}\u0089{Hooks}tR"), message);

    [Theory]
    [InlineData("X\u0005\0\0\0abc", "*is truncated*")]
    [InlineData("X\u00ff\u00ff\u00ff\u00ff", "*is truncated*")] // a text of 4 GB
    [InlineData("j\u0001\0\0\0", "*memo 1 was never set*")]
    [InlineData("e", "*no list where one is expected*")]
    [InlineData("Nue", "*ends a list that it never started*")]
    [InlineData("\u0097", "*opcode 0x97*")] // NEXT_BUFFER: of a protocol that needs more than one file
    [InlineData("K\u000100000", "*pops a value from an empty stack*")]
    [InlineData("Ithree\n", "*'three' is not an integer*")]
    [InlineData("F1,5\n", "*'1,5' is not a number*")]
    [InlineData("Sa\n", "*no quotes*")]
    [InlineData("S'\\xq'\n", "*escapes that Python does not write*")]
    [InlineData("V\\U00110000\n", "*not a character*")]
    [InlineData("K\u0001p-1\n", "*the index of a memo is not a number*")]
    [InlineData("I1", "*is truncated*")] // no line
    [InlineData("\u008e\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff", "*is truncated*")] // 2^64 - 1 bytes
    [InlineData("(K\u0001o", "*no callable where one is expected*")]
    [InlineData("K\u0001)R", "*no callable where one is expected*")]
    [InlineData("P('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 4); import os\n", "*persistent id*")]
    [InlineData("(X\u0007\0\0\0storagecos\nsystem\nX\u0001\0\0\00X\u0003\0\0\0cpuK\u0004tQ", "*persistent id*")]
    [InlineData("K\u0001X\u0001\0\0\0aK\u0002", "*key 'a' twice*")]
    [InlineData(Hooks + "K\u0001R", "*no tuple of arguments where one is expected*")]
    [InlineData("(X\u0006\0\0\0moduleNtQ", "*persistent id*")]
    [InlineData(Storage + "(X\u0007\0\0\0storagectorch\nFloatStorage\nX\u0001\0\0\00X\u0003\0\0\0cpuK\u0005tQ\u0086", "*two descriptions*")]
    public void Malformed_pickles_are_refused(string value, string message) => Refused(Dictionary(value), message);

    [Fact]
    public void Newer_protocols_and_newer_tensors_are_read()
    {
        const string Tensor = "\u008c\u000ctorch._utils\u008c\u0012_rebuild_tensor_v2\u0093(" + Storage + "K\u0002))\u0089" + Hooks;
        static string Protocol4(string metadata)
            => $"\u0080\u0004\u0095\0\0\0\0\0\0\0\0}}\u0094(\u008c\u0001a\u0094{Tensor}{metadata}tR"
                + "X\u0001\0\0\0bctorch\nSize\n(K\u0002K\u0003t\u0085Ru.";

        using var scope = NewDisposeScope();
        byte[] elements = [.. new float[] { 1, 2, 3, 4 }.SelectMany(BitConverter.GetBytes)];
        TorchDictionary contents = TorchFileReader.Read(Archive(("a/data.pkl", Latin(Protocol4("}"))), ("a/data/0", elements)));
        contents.Tensor("a").item<float>().Should().Be(3);
        contents["b"].Should().BeOfType<TorchTuple>().Which.Items.Should().Equal(2L, 3L);

        // the values are not those of the storage
        contents = TorchFileReader.Read(Archive(("a/data.pkl", Latin(Protocol4("}X\u0004\0\0\0conj\u0088s"))), ("a/data/0", elements)));
        contents.Invoking(read => read.Tensor("a")).Should().Throw<InvalidDataException>();
    }

    public static TheoryData<string> Untraversable => new()
    {
        "]q\u0001h\u0001a", // a list in itself
        new string(']', 100_000) + new string('a', 99_999),
        "K\u0001" + new string('\u0085', 100_000),
        "()q\0" + string.Concat(Enumerable.Repeat("h\0h\0\u0086q\0", 60)) + "t", // 2^60 values
    };

    /// <summary>Without an overflow of the stack, or waiting for ever.</summary>
    [Theory]
    [MemberData(nameof(Untraversable))]
    public void What_is_nested_without_end_is_passed_over(string value)
    {
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary content = TorchFileReader.Read(Archive(("a/data.pkl", Latin(Dictionary(value)))));

        content.Entries.Should().ContainSingle().Which.Value.Should().BeOfType<TorchOpaque>()
            .Which.ToString().Should().Contain("nested more than 100 deep");
    }

    [Fact]
    public void A_pickle_that_makes_too_many_containers_is_refused()
    {
        Refused(Dictionary(new string('}', 1_000_001)), "*more than 1000000 lists*");

        // A thousand pairs, of which each further instruction would make a dictionary.
        string pairs = "](" + string.Concat(Enumerable.Range(0, 1000).Select(k => $"I{k}\nN\u0086")) + "eq\0";
        string calls = string.Concat(Enumerable.Repeat("ccollections\nOrderedDict\nh\0\u0085R0", 1000));
        Refused(Dictionary(pairs + calls), "*more than 1000000 lists*");
    }

    [Fact]
    public void A_storage_must_be_there_with_the_length_that_the_pickle_says()
    {
        string tensor = Dictionary($"ctorch._utils\n_rebuild_tensor_v2\n({Storage}K\0K\u0004\u0085K\u0001\u0085\u0089{Hooks}tR");
        using var scope = NewDisposeScope();
        Tensor read = TorchFileReader.Read(Archive(("a/data.pkl", Latin(tensor)), ("a/data/0", new byte[16]))).Tensor("a");
        read.data<float>().ToArray().Should().Equal(0, 0, 0, 0);

        Refused(Archive(("a/data.pkl", Latin(tensor))), "*no entry 'data/0'*");
        Refused(Archive(("a/data.pkl", Latin(tensor)), ("a/data/0", new byte[15])), "*15 bytes, not 16*");
        Refused(Archive(("a/data.pkl", Latin(tensor)), ("a/data/0", new byte[17])), "*17 bytes, not 16*");
        Refused(Archive(("a/data.pkl", Latin(tensor)), ("b/data/0", new byte[16])), "*no entry*");
    }

    [Fact]
    public void Bombs_are_refused_before_they_go_off()
    {
        // 136 MiB of zeros lie compressed in less than one, and are wanted twice: as a storage and as a tensor.
        const string Doubles = "(X\u0007\0\0\0storagectorch\nDoubleStorage\nX\u0001\0\0\00X\u0003\0\0\0cpuJ\0\0\u0010\u0001tQ";
        byte[] pickle = Latin(
            Dictionary($"ctorch._utils\n_rebuild_tensor_v2\n({Doubles}K\0J\0\0\u0010\u0001\u0085K\u0001\u0085\u0089{Hooks}tR"));
        MemoryStream storage = Zeros("a/data/0", mebibytes: 136, ("a/data.pkl", pickle));
        MemoryStream instructions = Zeros("a/data.pkl", mebibytes: 17);

        long before = GC.GetAllocatedBytesForCurrentThread();
        Refused(storage, "*need*bytes, more than*");
        Refused(instructions, "*more than the accepted 16777216*");
        (GC.GetAllocatedBytesForCurrentThread() - before).Should().BeLessThan(1 << 20);
    }

    [Fact]
    public void Containers_that_torch_save_does_not_write_are_refused()
    {
        byte[] pickle = Latin(Start + "u.");
        TorchFileReader.Read(Archive(("a/data.pkl", pickle))).Entries.Count.Should().Be(0);
        Refused(Archive(), "*no NAME/data.pkl*");
        Refused(Archive(("a/data.pkl", pickle), ("b/data.pkl", pickle)), "*2 entries NAME/data.pkl*");
        Refused(Archive(("a/data.pkl", pickle), ("a/data.pkl", pickle)), "*two entries 'a/data.pkl'*");
        Refused(Archive(("a/data.pkl", pickle), ("a/byteorder", "big"u8.ToArray())), "*byte order*");
        Refused(Archive(("a/data.pkl", "\u0080\u0002]."u8.ToArray())), "*");
        Refused(Archive(("a/data.pkl", Latin("\u0080\u0002]."))), "*not contain a dictionary*");
        Refused(
            new MemoryStream("no zip file"u8.ToArray()),
            "the stream is not a readable PyTorch file: it is text that starts with 'no zip file'; *");
        Refused(new MemoryStream(), "*it is empty*");
    }

    [Fact]
    public void The_message_names_the_file()
    {
        string file = Path.GetTempFileName();
        try
        {
            Action read = () => TorchFileReader.Read(file);
            read.Should().Throw<InvalidDataException>().WithMessage($"{file} is not a readable PyTorch file*");
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Theory]
    [InlineData("pytorch_files/dtypes_zip.pt")]
    [InlineData("pytorch_files/views_zip.pt")]
    [InlineData("pytorch_files/dtypes_legacy.pt")]
    [InlineData("pytorch_files/views_legacy.pt")]
    public void Truncated_files_are_refused(string name)
    {
        byte[] file = File.ReadAllBytes(GoldenFiles.Find(name));
        for (int length = 0; length < file.Length; length++)
        {
            Refused(new MemoryStream(file[..length]), "*");
        }
    }

    [Theory]
    [InlineData("pytorch_files/dtypes_zip.pt", 1)]
    [InlineData("pytorch_files/views_zip.pt", 2)]
    [InlineData("pytorch_files/dtypes_legacy.pt", 5)]
    [InlineData("pytorch_files/views_legacy.pt", 6)]
    public void Damaged_files_are_read_or_refused_and_nothing_else(string name, int seed)
        => FileSoak.Run(Reader, File.ReadAllBytes(GoldenFiles.Find(name)), seed, rounds: 3000).Refused.Should().BeInRange(100, 2999);

    [Theory]
    [InlineData("pytorch_files/dtypes_zip.pt", 3)]
    [InlineData("pytorch_files/views_zip.pt", 4)]
    public void Damaged_pickles_are_read_or_refused_and_nothing_else(string name, int seed)
        => FileSoak.Run(Reader, File.ReadAllBytes(GoldenFiles.Find(name)), seed, rounds: 3000, DamagePickle).Refused.Should()
            .BeInRange(100, 2999);

    /// <summary>A zip file with a sound directory and sums around a damaged pickle.</summary>
    internal static byte[] DamagePickle(byte[] file, Random random)
    {
        using var archive = new ZipArchive(new MemoryStream(file));
        return Archive([.. archive.Entries.Select(entry => (
            entry.FullName,
            entry.Name == "data.pkl" ? FileSoak.Damage(Content(entry), random) : Content(entry)))]).ToArray();
    }

    private static byte[] Content(ZipArchiveEntry entry)
    {
        var content = new MemoryStream();
        using Stream stream = entry.Open();
        stream.CopyTo(content);
        return content.ToArray();
    }

    internal static string Dictionary(string value) => $"{Start}X\u0001\0\0\0a{value}u.";

    internal static byte[] Latin(string text) => Encoding.Latin1.GetBytes(text);

    internal static MemoryStream Archive(params (string Name, byte[] Content)[] entries)
    {
        var stream = new MemoryStream();
        using var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true);
        Array.ForEach(entries, entry => Add(archive, entry.Name, [entry.Content]));
        return stream;
    }

    private static void Add(ZipArchive archive, string name, IEnumerable<byte[]> pieces)
    {
        using Stream entry = archive.CreateEntry(name).Open();
        foreach (byte[] piece in pieces)
        {
            entry.Write(piece);
        }
    }

    private static MemoryStream Zeros(string name, int mebibytes, params (string Name, byte[] Content)[] others)
    {
        var stream = new MemoryStream();
        using var archive = new ZipArchive(stream, ZipArchiveMode.Create, leaveOpen: true);
        Add(archive, name, Enumerable.Repeat(new byte[1 << 20], mebibytes));
        Array.ForEach(others, other => Add(archive, other.Name, [other.Content]));
        return stream;
    }

    private static void Refused(string pickle, string message)
        => Refused(Archive(("a/data.pkl", Latin(pickle)), ("a/data/0", new byte[16])), message);

    private static void Refused(Stream file, string message)
    {
        using var scope = NewDisposeScope();
        Action read = () => TorchFileReader.Read(file);
        read.Should().ThrowExactly<InvalidDataException>().WithMessage(message);
        scope.DisposablesCount.Should().Be(0);
    }
}
