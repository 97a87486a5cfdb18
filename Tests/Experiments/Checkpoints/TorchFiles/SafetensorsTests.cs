using System.Buffers.Binary;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Reports;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles;

/// <summary>Safetensors files: what is written comes back, and what lies is refused by name.</summary>
public sealed class SafetensorsTests
{
    private const string Float = "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";

    private static readonly ScalarType[] Types =
    [
        ScalarType.Bool, ScalarType.Byte, ScalarType.Int8, ScalarType.Int16, ScalarType.Int32, ScalarType.Int64,
        ScalarType.Float16, ScalarType.BFloat16, ScalarType.Float32, ScalarType.Float64,
    ];

    [Fact]
    public void Whatever_tensors_are_written_come_back()
        => Prop.ForAll(Arb.From(Gen.ListOf(Tensors())), plans =>
        {
            using var scope = NewDisposeScope();
            Dictionary<string, Tensor> source = plans.DistinctBy(plan => plan.Name).ToDictionary(plan => plan.Name, plan => plan.Realise());
            byte[] file = Written(source);
            Same(Read(file), source).Should().BeTrue();
            Written(source.Reverse().ToDictionary(entry => entry.Key, entry => entry.Value)).Should().Equal(file);
        }).Hold();

    [Fact]
    public void The_file_is_the_one_that_the_format_describes()
    {
        using var scope = NewDisposeScope();
        byte[] file = Written(new() { ["é\"b"] = tensor(new byte[] { 7 }), ["a"] = tensor(new[] { 1f, 2f }), ["z"] = tensor(5L) });

        const string Header = "{\"z\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
            + "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
            + "\"é\\\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[16,17]}}";
        byte[] header = Encoding.UTF8.GetBytes(Header);
        long length = BinaryPrimitives.ReadInt64LittleEndian(file);
        (length % 8).Should().Be(0);
        Encoding.UTF8.GetString(file.AsSpan(8, (int)length)).Should().Be(Header + new string(' ', (int)length - header.Length));
        file[(8 + (int)length)..].Should().Equal(5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 64, 7);
    }

    [Fact]
    public void Metadata_are_passed_over_and_the_order_of_names_is_free()
    {
        using var scope = NewDisposeScope();
        const string Header = """
            {"b":{"data_offsets":[1,2],"shape":[1],"dtype":"BOOL"},"__metadata__":{"format":"pt","":"ü"},
             "e":{"dtype":"I8","shape":[0,3],"data_offsets":[1,1]},
             "a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}
            """;
        Dictionary<string, Tensor> contents = Read(File(Header, [9, 2]));
        contents.Keys.Should().BeEquivalentTo("a", "b", "e");
        contents["a"].item<byte>().Should().Be(9);
        contents["b"].item<bool>().Should().BeTrue("any byte but 0 is true");
        contents["b"].bytes.ToArray().Should().Equal(1);
        contents["e"].shape.Should().Equal(0, 3);
    }

    [Theory]
    [InlineData("", "*does not start with '{'*")]
    [InlineData(" {}", "*does not start with '{'*")]
    [InlineData("[]", "*does not start with '{'*")]
    [InlineData("{", "*not valid JSON*")]
    [InlineData("{}x", "*not valid JSON*")]
    [InlineData("{}{}", "*not valid JSON*")]
    [InlineData("{}\0", "*not valid JSON*")]
    [InlineData("{\"a\":1}", "*'a' has a Number where a StartObject is expected*")]
    [InlineData("{\"a\":{}}", "*'a' is not described by dtype, shape and two data_offsets*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "*'a' is not described*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", "*'a' is not described*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"stride\":[1]}}", "*'a' has a field 'stride'*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "*'a' contains dtype twice*")]
    [InlineData("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[8,0]}}", "*'a'*spans bytes 8 to 0*")]
    [InlineData("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]}}", "*'a' is a tensor of type F8_E4M3, which is*")]
    [InlineData("{\"a\":{\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]}}", "*'a' has a Number where a String is expected*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", "*'a' has a Number where a StartArray is expected*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[NaN],\"data_offsets\":[0,8]}}", "*not valid JSON*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", "*not a short list of integers*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "*not a short list of integers*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}}", "*not a short list of integers*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[[2]],\"data_offsets\":[0,8]}}", "*not valid JSON*")] // deeper than the format
    [
        InlineData(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,8]}}", "*not a short list of integers*")
    ]
    // wraps to 0
    [
        InlineData(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}}", "*more elements than fit in memory*")
    ]
    [
        InlineData(
            "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4,0],\"data_offsets\":[0,8]}}", "*more elements than fit in memory*")
    ]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "*needs 12 bytes*spans bytes 0 to 8*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "*needs 8 bytes*spans bytes 8 to 0*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "*gap or an overlap*")]
    [
        InlineData(
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[3,8]}}",
            "*'b' begins at byte 3 of the data, but byte 4 was expected*")
    ]
    [
        InlineData(
            "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[5,8]}}",
            "*'b' begins at byte 5 of the data, but byte 4 was expected*")
    ]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "*8 bytes of data, but its tensors end at 4*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "*8 bytes of data, but its tensors end at 16*")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
        "*'a' twice*")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
            + "\"\\u0061\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
        "*'a' twice*")]
    [InlineData("{\"\\ud800\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "*not valid UTF-8*")]
    [InlineData(
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}",
        "*not a short list of integers*")]
    [
        InlineData(
            "{\"__metadata__\":[],\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
            "*'__metadata__' has a StartArray where a StartObject is expected*")
    ]
    [
        InlineData(
            "{\"__metadata__\":{\"x\":1},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
            "*'__metadata__' has a Number where a String is expected*")
    ]
    [
        InlineData(
            "{\"__metadata__\":{\"x\":\"1\",\"x\":\"2\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
            "*metadata contains 'x' twice*")
    ]
    [InlineData("{\"__metadata__\":{},\"__metadata__\":{}}", "*'__metadata__' twice*")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},}", "*not valid JSON*")]
    [InlineData("{/**/\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "*not valid JSON*")]
    public void Headers_that_lie_are_refused(string header, string message) => Refused(File(header, new byte[8]), message);

    [Fact]
    public void Names_are_bounded_and_UTF_8()
    {
        static string Named(string name) => Float.Replace("\"a\"", $"\"{name}\"", StringComparison.Ordinal);
        using var scope = NewDisposeScope();
        Read(File(Named(new string('n', 1024)), new byte[8])).Should().HaveCount(1);
        Refused(File(Named(new string('n', 1025)), new byte[8]), "*more than 1024 characters*");

        byte[] file = File(Float, new byte[8]);
        file[8 + Float.IndexOf('a', StringComparison.Ordinal)] = 0xff;
        Refused(file, "*not valid UTF-8*");
    }

    [Theory]
    [InlineData(ulong.MaxValue, "its first bytes match no known format; *")]
    [InlineData(1UL << 63, "its first bytes match no known format; *")]
    [InlineData(100_000_000UL, "its header would have 100000000 bytes, but the file has *; the file is incomplete: *")]
    [InlineData(1000UL, "its header would have 1000 bytes, but the file has *; the file is incomplete: *")]
    public void A_header_longer_than_the_file_is_refused_before_memory_is_taken(ulong length, string message)
    {
        byte[] file = File(Float, new byte[8]);
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Refused(file, $"the stream is not a readable safetensors file: {message}");
        (GC.GetAllocatedBytesForCurrentThread() - before).Should().BeLessThan(1 << 20);
    }

    [Fact]
    public void A_file_cut_anywhere_or_with_more_after_it_is_refused()
    {
        using var scope = NewDisposeScope();
        byte[] file = Written(new() { ["a"] = ones([2, 3]), ["b"] = tensor(7L) });
        for (int length = 0; length < file.Length; length++)
        {
            Refused(file[..length], "*");
        }

        Refused([.. file, 0], "*bytes of data, but its tensors end at*");
    }

    [Fact]
    public void The_message_names_the_file_and_what_cannot_be_written_touches_none()
    {
        string path = Path.GetTempFileName();
        try
        {
            Action read = () => Safetensors.Read(path);
            read.Should().Throw<InvalidDataException>().WithMessage($"{path} is not a readable safetensors file*");

            using var scope = NewDisposeScope();
            System.IO.File.WriteAllText(path, "untouched");
            foreach (string name in new[] { "__metadata__", new string('n', 1025), "\ud800" })
            {
                Action write = () => Safetensors.Write(path, new Dictionary<string, Tensor> { [name] = ones([2]) });
                write.Should().Throw<ArgumentException>();
            }

            System.IO.File.ReadAllText(path).Should().Be("untouched");
            Safetensors.Write(path, new Dictionary<string, Tensor> { ["a"] = ones([2]) });
            Safetensors.Read(path).Tensor("a").data<float>().ToArray().Should().Equal(1, 1);
        }
        finally
        {
            System.IO.File.Delete(path);
        }
    }

    [Fact]
    public void The_callers_scope_owns_what_is_read()
    {
        using var outer = NewDisposeScope();
        byte[] file = Written(new() { ["a"] = ones([2, 3]), ["b"] = tensor(7L) });
        using var scope = NewDisposeScope();
        Dictionary<string, Tensor> contents = Read(file);
        scope.DisposablesCount.Should().Be(2);
        contents.Values.Should().OnlyContain(tensor => scope.Contains(tensor));
    }

    private static byte[] File(string header, byte[] data)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        return [.. BitConverter.GetBytes((long)json.Length), .. json, .. data];
    }

    private static byte[] Written(Dictionary<string, Tensor> source)
    {
        var stream = new MemoryStream();
        Safetensors.Write(stream, source);
        return stream.ToArray();
    }

    private static Dictionary<string, Tensor> Read(byte[] file) => Safetensors.Read(new MemoryStream(file)).Tensors();

    private static void Refused(byte[] file, string message)
    {
        using var scope = NewDisposeScope();
        Action read = () => Read(file);
        read.Should().ThrowExactly<InvalidDataException>().WithMessage(message);
        scope.DisposablesCount.Should().Be(0);
    }

    private static bool Same(Dictionary<string, Tensor> actual, Dictionary<string, Tensor> expected)
        => actual.Count == expected.Count && expected.All(entry => SameTensor(actual[entry.Key], entry.Value));

    private static bool SameTensor(Tensor actual, Tensor expected)
    {
        using var scope = NewDisposeScope();
        return actual.dtype == expected.dtype && actual.shape.SequenceEqual(expected.shape) && actual.is_contiguous()
            && actual.bytes.SequenceEqual(expected.detach().contiguous().bytes);
    }

    private sealed record Plan(string Name, ScalarType Type, int[] Sizes, bool Transposed)
    {
        public Tensor Realise()
        {
            long[] sizes = Array.ConvertAll(Sizes, size => (long)size);
            long count = sizes.Aggregate(1L, (product, size) => product * size);
            Tensor values = arange(Held(0), Held(count), One).to_type(Type).view(sizes);
            return Transposed && sizes.Length > 1 ? values.transpose(0, 1) : values;
        }
    }

    private static Gen<string> Names()
        => Gen.ArrayOf(Gen.Elements("a", "é", "語", "😀", "\n", "\0", ".", "\"", "\\", "<")).Select(string.Concat);

    private static Gen<Plan> Tensors()
        => from name in Names()
           from type in Gen.Elements(Types)
           from sizes in Gen.ArrayOf(Gen.Choose(0, 4))
           from transposed in ArbMap.Default.GeneratorFor<bool>()
           select new Plan(name, type, [.. sizes.Take(4)], transposed);
}
