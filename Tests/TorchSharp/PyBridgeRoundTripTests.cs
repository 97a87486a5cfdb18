using System.Collections;
using System.Collections.Specialized;
using FsCheck;
using FsCheck.Fluent;
using TorchSharp.PyBridge;

namespace Imta.MetaWeight.Tests.PyBridge;

/// <summary>Files that we write, read by ourselves and by PyTorch.</summary>
public sealed class PyBridgeRoundTripTests
{
    private static readonly ScalarType[] Types =
    [
        ScalarType.Bool, ScalarType.Byte, ScalarType.Int8, ScalarType.Int16, ScalarType.Int32, ScalarType.Int64,
        ScalarType.Float16, ScalarType.BFloat16, ScalarType.Float32, ScalarType.Float64,
    ];

    private static readonly string[] TypeNames = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"];

    [Fact]
    public void Whatever_nested_values_are_written_come_back()
        => Prop.ForAll(Arb.From(Dictionaries(3)), plan =>
        {
            using var scope = NewDisposeScope();
            var source = (IDictionary)Realise(plan)!;
            Same(Read(Written(source)), source).Should().BeTrue();
        }).QuickCheckThrowOnFailure();

    [Fact]
    public void The_same_content_gives_the_same_bytes_at_another_time()
    {
        using var scope = NewDisposeScope();
        byte[] first = Written(Sample());
        Thread.Sleep(2100); // zip files count time in steps of two seconds
        Written(Sample()).Should().Equal(first);
    }

    [Fact]
    public void The_callers_scope_owns_what_is_read()
    {
        using var outer = NewDisposeScope();
        byte[] file = Written(new Hashtable { ["a"] = ones([2, 3]), ["b"] = new ArrayList { zeros([2]), 1L } });
        using var scope = NewDisposeScope();
        Hashtable contents = Read(file);
        scope.DisposablesCount.Should().Be(2);
        scope.Contains((Tensor)contents["a"]!).Should().BeTrue();
    }

    [Fact]
    public void Streams_stay_open_only_when_asked()
    {
        var kept = new MemoryStream();
        PyTorchPickler.PickleStateDict(kept, new Hashtable(), leaveOpen: true);
        PyTorchUnpickler.UnpickleStateDict(kept, leaveOpen: true);
        kept.CanRead.Should().BeTrue();
        PyTorchUnpickler.UnpickleStateDict(kept);
        kept.CanRead.Should().BeFalse();

        var closed = new MemoryStream();
        PyTorchPickler.PickleStateDict(closed, new Hashtable());
        closed.CanRead.Should().BeFalse();
    }

    [Fact]
    public void Streams_that_cannot_seek_are_written_and_read()
    {
        using var scope = NewDisposeScope();
        var memory = new MemoryStream();
        PyTorchPickler.PickleStateDict(new OneWay(memory), Sample(), leaveOpen: true);
        Same(PyTorchUnpickler.UnpickleStateDict(new OneWay(new MemoryStream(memory.ToArray()))), Sample()).Should().BeTrue();
    }

    [Fact]
    public void Without_their_elements_tensors_have_shape_and_type()
    {
        using var scope = NewDisposeScope();
        byte[] file = Written(new Hashtable { ["a"] = ones([2, 3], ScalarType.Int16) });
        Hashtable contents = PyTorchUnpickler.UnpickleStateDict(new MemoryStream(file), skipTensorRead: true);
        var tensor = (Tensor)contents["a"]!;
        tensor.device_type.Should().Be(DeviceType.META);
        tensor.dtype.Should().Be(ScalarType.Int16);
        tensor.shape.Should().Equal(2, 3);
    }

    [Fact]
    public void What_cannot_be_written_is_refused_by_its_path_and_touches_no_file()
    {
        string file = Path.GetTempFileName();
        try
        {
            File.WriteAllText(file, "untouched");
            var cyclic = new ArrayList();
            cyclic.Add(cyclic);
            foreach ((object value, string message) in new (object, string)[]
            {
                (1.5m, "*/a/b[0] is a System.Decimal*"),
                (new Hashtable { [1.5] = 1L }, "*/a/b[0] has a key that is a System.Double*"),
                (new Hashtable { [1] = 1L, [1L] = 1L }, "*'1' twice*"),
                (new Hashtable { [new string('k', 5000)] = 1L }, "*key*"),
                (cyclic, "*/a/b[0][0]*contains itself*"),
                ("\ud800", "*"),
            })
            {
                Action write = () => PyTorchPickler.PickleStateDict(file, new Hashtable { ["a"] = new Hashtable { ["b"] = new ArrayList { value } } });
                write.Should().Throw<ArgumentException>().WithMessage(message);
                File.ReadAllText(file).Should().Be("untouched");
            }
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Fact]
    public void Nesting_is_written_as_deep_as_it_is_read()
    {
        object nested = 7L;
        for (int level = 0; level < 99; level++)
        {
            nested = new ArrayList { nested };
        }

        Same(Read(Written(new Hashtable { ["deep"] = nested })), new Hashtable { ["deep"] = nested }).Should().BeTrue();
        Action deeper = () => Written(new Hashtable { ["deep"] = new ArrayList { nested } });
        deeper.Should().Throw<ArgumentException>();
    }

    [Fact]
    public void Old_optimisers_keys_are_addresses_of_64_bits_and_a_pickle_may_have_ten_thousand()
    {
        static OrderedDictionary Keys(int count)
        {
            var keys = new OrderedDictionary();
            foreach (int k in Enumerable.Range(0, count))
            {
                keys.Add(140_234_000_000_000L + (k * 80L), k);
            }

            return keys;
        }

        Read(Written(Keys(10_000)))[140_234_000_000_080L].Should().Be(1L);
        Action more = () => Written(Keys(10_001));
        more.Should().Throw<ArgumentException>().WithMessage("*more than 10000 keys beyond 32 bits*");
    }

    [SkippableFact]
    public void PyTorch_reads_what_we_write()
    {
        PythonTorch.Require();
        (string file, string plain) = (Path.GetTempFileName(), Path.GetTempFileName());
        try
        {
            using var scope = NewDisposeScope();
            PyTorchPickler.PickleStateDict(file, Sample());
            OrderedDictionary sample = Sample();
            sample.Remove("list"); // the safe reader of PyTorch 1.13 knows no floats
            PyTorchPickler.PickleStateDict(plain, sample);
            string output = PythonTorch.Run("""
                import sys, torch
                def show(v):
                    if isinstance(v, torch.Tensor): return f'{v.dtype}{list(v.shape)}{v.tolist()}{v.is_contiguous()}'
                    if isinstance(v, dict): return '{' + ', '.join(f'{k!r}: {show(x)}' for k, x in v.items()) + '}'
                    if isinstance(v, (list, tuple)): return type(v).__name__ + '[' + ', '.join(map(show, v)) + ']'
                    return repr(v)
                contents = torch.load(sys.argv[1])
                print(show(contents))
                del contents['list']
                assert show(torch.load(sys.argv[2], weights_only=True)) == show(contents)
                """, file, plain);
            output.Trim().Should().Be(
                "{'z': torch.float32[2, 3][[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]True, 'a': {7: 'naïve 😀', -5: None}, "
                + "'list': list[True, False, -1, -4294967297, 9223372036854775807, 0.1, inf, list[], tuple[0.9, 0.999]], "
                + "'bool': torch.bool[2][False, True]True, "
                + string.Concat(TypeNames[1..6].Select(type => $"'{type}': torch.{type}[2][0, 1]True, "))
                + string.Concat(TypeNames[6..].Select(type => $"'{type}': torch.{type}[2][0.0, 1.0]True, "))
                + "'scalar': torch.int64[]5True, 'empty': torch.float32[0, 3][]True}");
        }
        finally
        {
            File.Delete(plain);
            File.Delete(file);
        }
    }

    // Every kind of value; the keys in an order that no sorting gives.
    private static OrderedDictionary Sample()
    {
        var sample = new OrderedDictionary
        {
            ["z"] = arange(6, ScalarType.Float32).view(3, 2).t().requires_grad_(),
            ["a"] = new OrderedDictionary { { (object)7, "naïve 😀" }, { (object)-5, null } },
            ["list"] = new ArrayList
            {
                true, false, -1, -4294967297, long.MaxValue, 0.1, double.PositiveInfinity, new ArrayList(), new object[] { 0.9, 0.999 },
            },
        };
        foreach ((ScalarType type, string name) in Types.Zip(TypeNames))
        {
            sample[name] = arange(2).to_type(type);
        }

        sample["scalar"] = tensor(5L);
        sample["empty"] = zeros([0, 3]);
        return sample;
    }

    private static byte[] Written(IDictionary source)
    {
        var stream = new MemoryStream();
        PyTorchPickler.PickleStateDict(stream, source);
        return stream.ToArray();
    }

    private static Hashtable Read(byte[] file) => PyTorchUnpickler.UnpickleStateDict(new MemoryStream(file));

    private static bool Same(object? actual, object? expected) => (actual, expected) switch
    {
        (Tensor a, Tensor b) => SameTensor(a, b),
        (IDictionary a, IDictionary b) => a.Count == b.Count
            && b.Keys.Cast<object>().All(key => Same(a[key is int small ? (long)small : key], b[key])),
        (object?[] a, object?[] b) => a.Length == b.Length && a.Zip(b).All(pair => Same(pair.First, pair.Second)),
        (ArrayList a, ArrayList b) => a.Count == b.Count && a.Cast<object?>().Zip(b.Cast<object?>()).All(pair => Same(pair.First, pair.Second)),
        (long a, int b) => a == b,
        _ => Equals(actual, expected),
    };

    private static bool SameTensor(Tensor actual, Tensor expected)
    {
        using var scope = NewDisposeScope();
        return actual.dtype == expected.dtype && actual.shape.SequenceEqual(expected.shape) && actual.is_contiguous()
            && actual.bytes.SequenceEqual(expected.detach().contiguous().bytes);
    }

    private sealed record TensorPlan(ScalarType Type, int[] Sizes, bool Transposed);

    private static Gen<object?> Dictionaries(int depth)
        => (from key in Keys() from value in Values(depth - 1) select (key, value)).ArrayOf(5)
            .Select(pairs => (object?)pairs.DistinctBy(pair => pair.key).ToDictionary(pair => pair.key, pair => pair.value));

    private static Gen<object> Keys() => Gen.OneOf(Texts().Select(text => (object)text), ArbMap.Default.GeneratorFor<int>().Select(number => (object)(long)number));

    private static Gen<string> Texts() => Gen.ArrayOf(Gen.Elements("a", "é", "語", "😀", "\n", "\0", ".", "'")).Select(string.Concat);

    private static Gen<TensorPlan> Tensors()
        => from type in Gen.Elements(Types)
           from sizes in Gen.ArrayOf(Gen.Choose(0, 4))
           from transposed in ArbMap.Default.GeneratorFor<bool>()
           select new TensorPlan(type, [.. sizes.Take(4)], transposed);

    private static Gen<object?> Values(int depth)
    {
        Gen<object?> plain = Gen.OneOf(
            Gen.Constant<object?>(null),
            ArbMap.Default.GeneratorFor<bool>().Select(value => (object?)value),
            Gen.OneOf(ArbMap.Default.GeneratorFor<long>(), Gen.Elements(long.MinValue, long.MaxValue, int.MinValue - 1L, int.MaxValue, int.MaxValue + 1L))
                .Select(value => (object?)value),
            ArbMap.Default.GeneratorFor<double>().Select(value => (object?)value),
            Texts().Select(value => (object?)value),
            Tensors().Select(value => (object?)value));
        return depth == 0 ? plain : Gen.OneOf(
            plain,
            plain,
            Dictionaries(depth),
            Values(depth - 1).ArrayOf(3).Select(values => (object?)values),
            Values(depth - 1).ListOf(3).Select(values => (object?)new ArrayList(values.ToArray())));
    }

    private static object? Realise(object? plan)
    {
        switch (plan)
        {
            case TensorPlan tensor:
                long[] sizes = Array.ConvertAll(tensor.Sizes, size => (long)size);
                Tensor values = arange(sizes.Aggregate(1L, (product, size) => product * size)).to_type(tensor.Type).view(sizes);
                return tensor.Transposed && sizes.Length > 1 ? values.transpose(0, 1) : values;
            case Dictionary<object, object?> dictionary:
                return dictionary.ToDictionary(entry => entry.Key, entry => Realise(entry.Value));
            case ArrayList list:
                return new ArrayList(list.Cast<object?>().Select(Realise).ToArray());
            case object?[] tuple:
                return tuple.Select(Realise).ToArray();
            default:
                return plan;
        }
    }

    // A pipe: neither length nor position.
    private sealed class OneWay(Stream inner) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, count);

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => inner.Write(buffer, offset, count);
    }
}
