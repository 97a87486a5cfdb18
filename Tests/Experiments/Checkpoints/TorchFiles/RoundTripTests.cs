using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles;

/// <summary>Files that we write, read by ourselves and by PyTorch.</summary>
public sealed class RoundTripTests
{
    private static readonly ScalarType[] Types =
    [
        ScalarType.Bool, ScalarType.Byte, ScalarType.Int8, ScalarType.Int16, ScalarType.Int32, ScalarType.Int64,
        ScalarType.Float16, ScalarType.BFloat16, ScalarType.Float32, ScalarType.Float64,
    ];

    private static readonly string[] TypeNames =
    [
        "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
    ];

    [Fact]
    public void Whatever_nested_values_are_written_come_back()
        => Prop.ForAll(Arb.From(Dictionaries(3)), plan =>
        {
            using var scope = NewDisposeScope();
            var source = (TorchDictionary)Realise(plan);
            Same(Read(Written(source)), source).Should().BeTrue();
        }).Hold();

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
        byte[] file = Written(new() { ["a"] = ones([2, 3]), ["b"] = new TorchList([zeros([2]), 1L]) });
        using var scope = NewDisposeScope();
        TorchDictionary contents = Read(file);
        scope.DisposablesCount.Should().Be(2);
        scope.Contains(contents.Tensor("a")).Should().BeTrue();
    }

    [Fact]
    public void Without_their_elements_tensors_have_shape_and_type()
    {
        using var scope = NewDisposeScope();
        byte[] file = Written(new() { ["a"] = ones([2, 3], ScalarType.Int16) });
        TorchDictionary contents = TorchFileReader.Read(new MemoryStream(file), elements: false);
        var tensor = contents.Tensor("a");
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
            var cyclic = new TorchList([]);
            cyclic.Items.Add(cyclic);
            foreach ((TorchValue value, string message) in new (TorchValue, string)[]
            {
                (zeros([1], ScalarType.ComplexFloat32), "*/a/b[0] has elements of type ComplexFloat32*"),
                (new TorchDictionary { [new string('k', 5000)] = 1L }, "*key*"),
                (cyclic, "*/a/b[0][0]*contains itself*"),
                ("\ud800", "*"),
            })
            {
                Action write = () => TorchFileWriter.Write(file, new() { ["a"] = new TorchDictionary { ["b"] = new TorchList([value]) } });
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
        TorchValue nested = 7L;
        for (int level = 0; level < 99; level++)
        {
            nested = new TorchList([nested]);
        }

        TorchDictionary deep = new() { ["deep"] = nested };
        Same(Read(Written(deep)), deep).Should().BeTrue();
        Action deeper = () => Written(new() { ["deep"] = new TorchList([nested]) });
        deeper.Should().Throw<ArgumentException>();
    }

    /// <summary>
    /// Objects' addresses in old optimisers' states; here some that are equal in the lowest 32 bits, and in what the halves add up to.
    /// </summary>
    [Fact]
    public void Keys_of_64_bits_are_read_in_time_that_does_not_depend_on_them()
    {
        const int Count = 100_000;
        TorchDictionary keys = new();
        foreach (long k in Enumerable.Range(0, Count))
        {
            keys[(k << 32) | k] = k;
        }

        var clock = System.Diagnostics.Stopwatch.StartNew();
        Read(Written(keys)).Integer((7L << 32) | 7).Should().Be(7);
        clock.Elapsed.Should().BeLessThan(TimeSpan.FromSeconds(10), "keys that collide take minutes");
    }

    [Fact]
    public void PyTorch_reads_what_we_write()
    {
        PythonTorch.Require();
        (string file, string plain) = (Path.GetTempFileName(), Path.GetTempFileName());
        try
        {
            using var scope = NewDisposeScope();
            TorchFileWriter.Write(file, Sample());
            TorchDictionary sample = Sample();
            sample.Entries.Remove("list"); // the safe reader of PyTorch 1.13 knows no floats
            TorchFileWriter.Write(plain, sample);
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
    private static TorchDictionary Sample()
    {
        var sample = new TorchDictionary
        {
            ["z"] = arange(Held(0), Held(6), One, ScalarType.Float32).view(3, 2).t().requires_grad_(),
            ["a"] = new TorchDictionary { [7] = "naïve 😀", [-5] = TorchNone.Value },
            ["list"] = new TorchList(
                [
                    true, false, -1, -4294967297, long.MaxValue, 0.1, double.PositiveInfinity, new TorchList([]),
                    new TorchTuple([0.9, 0.999])
                ]),
        };
        foreach ((ScalarType type, string name) in Types.Zip(TypeNames))
        {
            sample[name] = arange(Held(0), Held(2), One).to_type(type);
        }

        sample["scalar"] = tensor(5L);
        sample["empty"] = zeros([0, 3]);
        return sample;
    }

    private static byte[] Written(TorchDictionary source)
    {
        var stream = new MemoryStream();
        TorchFileWriter.Write(stream, source);
        return stream.ToArray();
    }

    private static TorchDictionary Read(byte[] file) => TorchFileReader.Read(new MemoryStream(file));

    private static bool Same(TorchValue actual, TorchValue expected) => (actual, expected) switch
    {
        (TorchTensor(var a), TorchTensor(var b)) => SameTensor(a, b),
        (TorchDictionary a, TorchDictionary b) => a.Entries.Keys.SequenceEqual(b.Entries.Keys) && SameParts(a, b),
        (TorchTuple, TorchTuple) or (TorchList, TorchList) => SameParts(actual, expected),
        _ => actual == expected,
    };

    private static bool SameParts(TorchValue actual, TorchValue expected)
        => actual.Parts.Count() == expected.Parts.Count() && actual.Parts.Zip(expected.Parts).All(pair => Same(pair.First, pair.Second));

    private static bool SameTensor(Tensor actual, Tensor expected)
    {
        using var scope = NewDisposeScope();
        return actual.dtype == expected.dtype && actual.shape.SequenceEqual(expected.shape) && actual.is_contiguous()
            && actual.bytes.SequenceEqual(expected.detach().contiguous().bytes);
    }

    private sealed record TensorPlan(ScalarType Type, int[] Sizes, bool Transposed) : TorchValue;

    private static Gen<TorchValue> Dictionaries(int depth)
        => (from key in Keys() from value in Values(depth - 1) select (key, value)).ArrayOf(5).Select(pairs =>
    {
        var dictionary = new TorchDictionary();
        Array.ForEach(pairs, pair => dictionary[pair.key] = pair.value);
        return (TorchValue)dictionary;
    });

    private static Gen<TorchKey> Keys()
        => Gen.OneOf(Texts().Select(text => (TorchKey)text), ArbMap.Default.GeneratorFor<int>().Select(number => (TorchKey)number));

    private static Gen<string> Texts() => Gen.ArrayOf(Gen.Elements("a", "é", "語", "😀", "\n", "\0", ".", "'")).Select(string.Concat);

    private static Gen<TensorPlan> Tensors()
        => from type in Gen.Elements(Types)
           from sizes in Gen.ArrayOf(Gen.Choose(0, 4))
           from transposed in ArbMap.Default.GeneratorFor<bool>()
           select new TensorPlan(type, [.. sizes.Take(4)], transposed);

    private static Gen<TorchValue> Values(int depth)
    {
        Gen<TorchValue> plain = Gen.OneOf(
            Gen.Constant<TorchValue>(TorchNone.Value),
            ArbMap.Default.GeneratorFor<bool>().Select(value => (TorchValue)value),
            Gen.OneOf(
                ArbMap.Default.GeneratorFor<long>(),
                Gen.Elements(long.MinValue, long.MaxValue, int.MinValue - 1L, int.MaxValue, int.MaxValue + 1L))
                .Select(value => (TorchValue)value),
            ArbMap.Default.GeneratorFor<double>().Select(value => (TorchValue)value),
            Texts().Select(value => (TorchValue)value),
            Tensors().Select(value => (TorchValue)value));
        return depth == 0 ? plain : Gen.OneOf(
            plain,
            plain,
            Dictionaries(depth),
            Values(depth - 1).ArrayOf(3).Select(values => (TorchValue)new TorchTuple(values)),
            Values(depth - 1).ArrayOf(3).Select(values => (TorchValue)new TorchList([.. values])));
    }

    private static TorchValue Realise(TorchValue plan)
    {
        switch (plan)
        {
            case TensorPlan tensor:
                long[] sizes = Array.ConvertAll(tensor.Sizes, size => (long)size);
                long count = sizes.Aggregate(1L, (product, size) => product * size);
                Tensor values = arange(Held(0), Held(count), One).to_type(tensor.Type).view(sizes);
                return tensor.Transposed && sizes.Length > 1 ? values.transpose(0, 1) : values;
            case TorchDictionary { Entries: var entries }:
                var dictionary = new TorchDictionary();
                foreach ((TorchKey key, TorchValue value) in entries)
                {
                    dictionary[key] = Realise(value);
                }

                return dictionary;
            case TorchList(var items):
                return new TorchList([.. items.Select(Realise)]);
            case TorchTuple(var items):
                return new TorchTuple([.. items.Select(Realise)]);
            default:
                return plan;
        }
    }
}
