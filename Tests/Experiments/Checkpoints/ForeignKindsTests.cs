using Imta.MetaWeight.Experiments.Checkpoints;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;

namespace Imta.MetaWeight.Tests.Experiments.Checkpoints;

/// <summary>A network in files of every kind that people have: it is read to the bit.</summary>
public sealed class ForeignKindsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_file_that_Python_writes_gives_the_same_network()
    {
        PythonTorch.Run(PythonKinds.Script, _folder.Path);
        string[] files = [.. Directory.GetFiles(_folder.Path).Order(StringComparer.Ordinal)];
        files.Should().HaveCountGreaterThan(900);
        byte[] whole = Network(_folder.In("ok.pth"), withWeighting: true), alone = Network(_folder.In("ok.pth"), withWeighting: false);

        Dictionary<string, string> wrong = [];
        foreach (string file in files)
        {
            bool isAlone = Path.GetFileName(file).StartsWith("alone_", StringComparison.Ordinal);
            try
            {
                if (!Network(file, withWeighting: !isAlone).AsSpan().SequenceEqual(isAlone ? alone : whole))
                {
                    wrong.Add(Path.GetFileName(file), "other bytes");
                }
            }
            catch (Exception e)
            {
                wrong.Add(Path.GetFileName(file), e.Message);
            }
        }

        string.Join('\n', wrong).Should().BeEmpty();
    }

    private static byte[] Network(string file, bool withWeighting)
    {
        using DisposeScope scope = NewDisposeScope();
        ForeignCheckpoint content = ForeignFile.Open(file, configured: false)!;
        var stream = new MemoryStream();
        Safetensors.Write(stream, withWeighting ? content.Tensors : content.BackboneTensors);
        return stream.ToArray();
    }
}
