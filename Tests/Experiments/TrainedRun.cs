using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Tests.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments;

/// <summary>
/// A small network of three exits that was trained on a small CIFAR-10, once for all tests of a class; they write beside it.
/// </summary>
public sealed class TrainedRun : IDisposable
{
    public const int Exits = 3;
    public const int TestImages = 40;
    private const int Record = 3073; // bytes of an image and its label

    private readonly TemporaryFolder _folder = new();

    public TrainedRun()
    {
        Cifar = new DataCifarFolder(CifarFormat.Cifar10, perFile: TestImages);
        Scatter();
        Run(
            0,
            [
                "train", "--out", "run", "--data", Cifar.Root, .. ImtaProcess.Tiny, "--set", "data.dataset=cifar10", "--set",
                "data.trainLimit=200", "--set", $"model.msdnet.blocks={Exits}"
            ]);
    }

    internal DataCifarFolder Cifar { get; }

    internal string Folder => _folder.Path;

    /// <summary>The file with its test images.</summary>
    internal string TestFile => Cifar.PathOf(CifarFormat.Cifar10.TestFile);

    public void Dispose()
    {
        _folder.Dispose();
        Cifar.Dispose();
    }

    internal string In(params string[] parts) => _folder.In(parts);

    internal ImtaProcess.Result Run(int code, params string[] arguments) => _folder.Run(code, arguments);

    /// <summary>Runs a command unless an earlier test of the class has made its file.</summary>
    internal void Make(string file, params string[] arguments)
    {
        if (!File.Exists(In(file)))
        {
            Run(0, arguments);
        }
    }

    /// <summary>No two images are alike; how bright one is tells a little about its class.</summary>
    private void Scatter()
    {
        var random = new Random(3);
        foreach (string file in (string[])[.. CifarFormat.Cifar10.TrainFiles, CifarFormat.Cifar10.TestFile])
        {
            byte[] content = File.ReadAllBytes(Cifar.PathOf(file));
            for (int at = 0; at < content.Length; at += Record)
            {
                int brightest = 120 + (13 * content[at]);
                for (int pixel = at + 1; pixel < at + Record; pixel++)
                {
                    content[pixel] = (byte)random.Next(brightest);
                }
            }

            Cifar.Write(file, content);
        }
    }

    /// <summary>Writes a checkpoint whose network is the run's but for a change of its state.</summary>
    internal void Change(string file, Action<Dictionary<string, Tensor>> change)
        => Change(In("run", "checkpoints", "latest.pt"), In(file), change);

    /// <inheritdoc cref="Change(string, Action{Dictionary{string, Tensor}})"/>
    internal static void Change(string from, string to, Action<Dictionary<string, Tensor>> change)
    {
        using DisposeScope scope = NewDisposeScope();
        TorchDictionary content = TorchFileReader.Read(from);
        change(content.Dictionary("state_dict").Tensors());
        TorchFileWriter.Write(to, content);
    }

    /// <summary>Makes the logits of exit 1 NaN, by finite weights.</summary>
    internal static void Spoil(Dictionary<string, Tensor> state) => state.First(
        entry
            => entry.Key.StartsWith("classifier.0", StringComparison.Ordinal)
                && entry.Key.EndsWith("running_var", StringComparison.Ordinal)).Value.fill_(Held(-1e30));

    /// <summary>The one line that refuses <paramref name="arguments"/>.</summary>
    internal string Refusal(params string[] arguments)
    {
        string[] lines = Run(2, arguments).Error.TrimEnd().Split('\n');
        return lines.Where(line => !line.StartsWith("warning: ", StringComparison.Ordinal)).Should().ContainSingle().Which.Should()
            .StartWith("imta: ").And.Subject!;
    }

    internal T[] Read<T>(params string[] file) => _folder.Read<T>(file);

    /// <summary>What each exit answered to the images of a split, in their order: <c>[image][exit]</c>.</summary>
    internal PredictionRow[][] Predictions(string split, params string[] file)
        =>
        [
            .. Read<PredictionRow>(file).Where(row => row.Split == split).GroupBy(row => row.Sample)
                .Select(rows => rows.OrderBy(row => row.Exit).ToArray()),
        ];
}
