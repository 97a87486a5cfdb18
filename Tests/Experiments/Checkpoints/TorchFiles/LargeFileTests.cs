using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints.TorchFiles;

/// <summary>
/// Tensors beyond two gigabytes. They need 9 GB of memory and 5 GB of disk, so only the environment variable <c>IMTA_LARGE=1</c> asks for
/// them.
/// </summary>
[Collection(NativeMemoryCollection.Name)]
public sealed class LargeFileTests
{
    private const long Elements = (1L << 31) + 5;

    [Fact]
    public void A_tensor_of_more_than_two_gigabytes_goes_through_every_kind_of_file()
    {
        Skip.IfNot(Environment.GetEnvironmentVariable("IMTA_LARGE") == "1", "IMTA_LARGE is not 1");
        using var folder = new TemporaryFolder();
        using DisposeScope scope = NewDisposeScope();
        Tensor large = zeros([Elements], ScalarType.Byte);
        large.narrow(0, 0, 1).fill_(Held(1));
        large.narrow(0, Elements - 1, 1).fill_(Held(2));
        string pickle = folder.In("large.pt"), safetensors = folder.In("large.safetensors");
        TorchFileWriter.Write(pickle, new TorchDictionary { ["large"] = large, ["after"] = ones([3]) });
        Safetensors.Write(safetensors, new Dictionary<string, Tensor> { ["large"] = large, ["after"] = ones([3]) });

        foreach (Func<TorchDictionary> read in new[] { () => TorchFileReader.Read(pickle), () => Safetensors.Read(safetensors) })
        {
            using DisposeScope inner = NewDisposeScope();
            Dictionary<string, Tensor> content = read().Tensors();
            Same(content["large"], large).Should().BeTrue();
            Same(content["after"], ones([3])).Should().BeTrue();
        }

        PythonTorch.Run("""
            import sys, torch
            c = torch.load(sys.argv[1])
            t = c['large']
            torch.save(c, sys.argv[1], _use_new_zipfile_serialization=False)
            print(t.numel(), int(t[0]), int(t[-1]), int(t.sum()), c['after'].tolist())
            """, pickle).Should().Be($"{Elements} 1 2 3 [1.0, 1.0, 1.0]\n");
        Same(TorchFileReader.Read(pickle).Tensor("large"), large).Should().BeTrue("PyTorch wrote it in the legacy format");
    }

    private static bool Same(Tensor one, Tensor other) => one.eq(other).all().item<bool>();
}
