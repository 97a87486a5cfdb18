using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>A network's prediction for an image.</summary>
/// <param name="Class">The label, from 0.</param>
/// <param name="Name">The name of the class.</param>
/// <param name="Confidence">Its softmax probability.</param>
/// <param name="Exit">The exit at which the image left, from 1.</param>
/// <param name="Macs">Multiply-adds up to there.</param>
public sealed record EarlyExitPrediction(int Class, string Name, float Confidence, int Exit, long Macs);

/// <summary>
/// A trained network with an exit policy: it classifies images, each at the first exit where the policy lets it leave, so that later blocks
/// do not run. Calls from several threads wait for each other.
/// </summary>
public sealed class EarlyExitClassifier : IDisposable
{
    private readonly TrainedNetwork _network;
    private readonly PolicyFile _policy;
    private readonly EarlyExit _runner;
    private readonly ExitPolicyRule _rule;

    /// <param name="network">The network; ownership is transferred.</param>
    /// <param name="policy">A policy for it.</param>
    internal EarlyExitClassifier(TrainedNetwork network, PolicyFile policy)
        => (_network, _policy, _runner, _rule) = (network, policy, new EarlyExit(network.Network), new ExitPolicyRule(policy.Policy));

    /// <summary>Loads a network and a policy for it. Also loads libtorch, and sets the process's number of CPU threads.</summary>
    /// <param name="source">A run folder, a checkpoint, or with a configuration a published checkpoint or a safetensors file.</param>
    /// <param name="policy">A file written by <c>imta calibrate</c>.</param>
    /// <param name="config">The configuration of a file that does not contain one.</param>
    /// <param name="device"><c>cpu</c> or <c>cuda</c>; null: the run's.</param>
    /// <param name="threads">CPU threads; 0: all cores; null: the run's.</param>
    /// <exception cref="UsageException">
    /// A file does not exist, is damaged, or does not fit the others; or this machine lacks the device. The message is one line.
    /// </exception>
    public static EarlyExitClassifier Load(
        string source, string policy, string? config = null, string? device = null, int? threads = null)
    {
        Libtorch.Load();
        Settings? given = config is null ? null : PictureFolders.WithClasses(SettingsLoader.Load(config));
        TrainedNetwork network = TrainedNetwork.Load(source, given, SettingsOverride.ForMachine(device, threads));
        try
        {
            PolicyFile read = PolicyFile.Read(policy, network);
            string?[] notes = [network.Warning, read.CheckpointNote(policy, network)];
            return new EarlyExitClassifier(network, read) { Warnings = [.. notes.OfType<string>()] };
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    /// <summary>The network, which this object owns; its parameters must not change.</summary>
    public MultiExitNetwork Network => _network.Network;

    /// <summary>
    /// Warnings about the files, one line each: a checkpoint within an epoch, tensors that are not used, a policy that was calibrated for a
    /// different checkpoint.
    /// </summary>
    public IReadOnlyList<string> Warnings { get; private init; } = [];

    /// <summary>Names of the C classes, by label.</summary>
    public IReadOnlyList<string> ClassNames => _policy.ClassNames;

    /// <summary>Multiply-adds of a prediction at each exit, K.</summary>
    public IReadOnlyList<long> Macs => _policy.Macs;

    /// <summary>Height and width of its input images, in pixels.</summary>
    public int Side => DatasetShape.For(_network.Settings.Data).Side;

    /// <summary>Classifies a batch of pixels.</summary>
    /// <param name="images">uint8 <c>[N, 3, Side, Side]</c>: red, green, blue; on any device.</param>
    /// <returns>N predictions.</returns>
    /// <exception cref="ArgumentException">The tensor has another shape or element type.</exception>
    /// <exception cref="UsageException">The network's logits are NaN or infinite.</exception>
    public IReadOnlyList<EarlyExitPrediction> Classify(Tensor images)
    {
        if (images.dtype != ScalarType.Byte || images.dim() != 4 || images.size(1) != 3 || images.size(2) != Side || images.size(3) != Side)
        {
            throw new ArgumentException(
                $"images are {images.dtype} {ShapeText(images)}; expected Byte [N, 3, {Side}, {Side}]", nameof(images));
        }

        using DisposeScope scope = NewDisposeScope();
        return images.size(0) == 0 ? [] : ClassifyNormalised(_policy.Normalisation.Apply(images.to(_network.Device)));
    }

    /// <summary>Classifies a JPEG, PNG, WebP or BMP file: the centre crop of the picture, resized as for the run's evaluation.</summary>
    /// <exception cref="UsageException">
    /// The file cannot be read (one line says why), or the network's logits are NaN or infinite.
    /// </exception>
    public EarlyExitPrediction Classify(string file)
    {
        string problem = "";
        return Classify([file], 1, line => problem = line).Single() ?? throw new UsageException(problem);
    }

    /// <summary>Classifies image files, which several threads decode ahead.</summary>
    /// <param name="files">Paths.</param>
    /// <param name="batch">How many are classified at a time.</param>
    /// <returns>One prediction per file; null: the file cannot be read.</returns>
    /// <exception cref="UsageException">The network's logits are NaN or infinite.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="batch"/> is less than 1.</exception>
    public IReadOnlyList<EarlyExitPrediction?> Classify(IReadOnlyList<string> files, int batch = Predictions.Batch)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        return Classify(files, batch, _ => { });
    }

    /// <summary>The predictions of a set's images, batch by batch, in its order.</summary>
    /// <param name="images">The images.</param>
    /// <param name="batch">The batch size.</param>
    /// <exception cref="UsageException">The network's logits are NaN or infinite.</exception>
    internal IEnumerable<IReadOnlyList<EarlyExitPrediction>> Classify(ImageSet images, int batch)
    {
        foreach (Batch one in new BatchSource(images, _policy.Normalisation, _network.Device).InOrder(batch))
        {
            using DisposeScope step = NewDisposeScope();
            using (one)
            {
                yield return ClassifyNormalised(one.Images);
            }
        }
    }

    /// <summary>A set of image files without labels.</summary>
    /// <param name="folder">The folder of the names.</param>
    /// <param name="names">Paths relative to it.</param>
    /// <param name="tally">Counts what is read.</param>
    internal ImageSet Open(string folder, IReadOnlyList<string> names, ImageReadStatistics tally)
    {
        ImageNetFolders.EnsureDecoderAvailable();
        ImageTransform shape = DatasetShape.For(_network.Settings.Data).Transform;
        var files = new ImageFiles(folder, names, shape, _network.Settings.Data.Workers, tally, skipMissing: true);
        using DisposeScope scope = NewDisposeScope();
        Tensor labels = zeros([names.Count], ScalarType.Int64); // never read
        return new ImageSet(files, labels, arange(Held(0), Held(names.Count), One, ScalarType.Int64), ClassNames);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _runner.Dispose();
        _network.Dispose();
    }

    private EarlyExitPrediction?[] Classify(IReadOnlyList<string> files, int batch, Action<string> report)
    {
        var tally = new ImageReadStatistics(report);
        tally.ReportUnanswered();
        using ImageSet images = Open("", files, tally);
        EarlyExitPrediction[] found = [.. Classify(images, batch).SelectMany(one => one)];
        return [.. found.Select((one, i) => tally.Unreadable.Contains(files[i]) ? null : one)];
    }

    /// <summary>Classifies a batch.</summary>
    /// <param name="images">Normalised, [N, 3, H, W], on the network's device.</param>
    private EarlyExitPrediction[] ClassifyNormalised(Tensor images)
    {
        EarlyExitResult found = Run(images);
        float[] confidence = ExitCriteria.Confidence.Score(found.Logits).cpu().ToArray<float>();
        long[] classes = found.Logits.argmax(1).cpu().ToArray<long>(), exits = found.Exits.cpu().ToArray<long>();
        return
        [
            .. classes.Select((label, i) => new EarlyExitPrediction(
                (int)label, ClassNames[(int)label], confidence[i], (int)exits[i] + 1, Macs[(int)exits[i]])),
        ];
    }

    private EarlyExitResult Run(Tensor images)
    {
        try
        {
            return _runner.Run(images, _rule.Leaves);
        }
        catch (NonFiniteLogitsException e)
        {
            throw Predictions.Refusal(e);
        }
    }
}
