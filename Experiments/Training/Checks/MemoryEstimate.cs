using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>
/// Estimates the peak memory of one process of a run on its device, CPU or GPU. The constants are measured on the CPU;
/// for a GPU, the overhead of CUDA itself is a guess (docs/checks.md).
/// </summary>
/// <param name="ImageBytes">Bytes of all image sets, if held in memory.</param>
/// <param name="ParameterBytes">Bytes of θ and Θ.</param>
/// <param name="ActivationBytes">Bytes of all layers' outputs for one image, in float32.</param>
/// <param name="TrainImages">Training images.</param>
/// <param name="EvaluationImages">Images in the larger of the validation and test sets.</param>
/// <param name="Processes">The number of processes that share each batch.</param>
/// <param name="IsFrozen">Whether most of the network is frozen (<see cref="TrainingPhase.FreezesNetwork"/>).</param>
/// <param name="Meta">How weights are learned, if they are.</param>
internal sealed record MemoryEstimate(
    long ImageBytes, long ParameterBytes, long ActivationBytes, int TrainImages, int EvaluationImages, int Processes, bool IsFrozen,
    MetaSettings Meta)
{
    private const long BaseBytes = 310 * ByteSize.Mib; // .NET and libtorch, after their first steps
    private const long CudaContext = 700 * ByteSize.Mib; // its kernels, and cuDNN's and cuBLAS's workspaces
    private const double EvaluationActivations = 0.15;

    /// <summary>Whether it is a GPU's memory.</summary>
    public bool OnGpu { get; init; }

    /// <summary>Bytes of a feature during training, relative to float32.</summary>
    public double FeatureShare { get; init; } = 1;

    /// <summary>Copies of the parameters, or of their gradients, kept for single exits; 0 if there is only their sum.</summary>
    public int ExitCopies { get; init; }

    /// <summary>Bytes of an image whose files are read batch by batch; 0 if images are in memory.</summary>
    public long PictureBytes { get; init; }

    /// <summary>Bytes of the validation and test images' logits, in CPU memory; 0 if they are not kept.</summary>
    public long LogitBytes { get; init; }

    /// <summary>Bytes of the image file names, in CPU memory.</summary>
    public long NameBytes { get; init; }

    public static MemoryEstimate From(
        TrainingPhase phase, MultiExitNetwork network, ISampleWeighting weighting, NetworkCost cost, RunData data)
    {
        IEnumerable<Tensor> parameters = network.parameters().Concat(weighting.Parameters);
        ImageSet[] sets = [data.Train, data.Validation, data.Test, .. data.Meta is { } meta ? [meta] : Array.Empty<ImageSet>()];
        return new MemoryEstimate(
            sets.Sum(set => set.Files is null ? set.Images.numel() : 0),
            parameters.Sum(Bytes),
            cost.Activations * network.Parameters[0].element_size(),
            data.Train.Count,
            Math.Max(data.Validation.Count, data.Test.Count),
            phase.Settings.Processes,
            phase.FreezesNetwork,
            phase.Settings.Meta)
        {
            ExitCopies = Copies(phase.Settings, network.Exits),
            LogitBytes = DiskEstimate.LogitBytes(network, data, phase.Settings),
            OnGpu = phase.Settings.Device != "cpu",
            PictureBytes = data.Train.Files?.Bytes ?? 0,
            NameBytes = sets.Select(set => set.Files).OfType<ImageFiles>().Distinct().Sum(files => files.NameBytes),
            FeatureShare = network.FeatureType is null ? 1 : HalfPrecisionShare(phase.Settings.Meta),
        };
    }

    /// <summary>The bytes at this global batch size.</summary>
    public long BytesFor(int batch)
    {
        int images = (Math.Min(batch, TrainImages) + Processes - 1) / Processes;
        // θ, gradient, momentum and update; those of the lookahead; all-reduce buckets
        int copies = (Meta.Learns ? 8 : 4) + (Processes > 1 ? 1 : 0) + ExitCopies;
        double atOnce = Meta.SplitsBatch ? (images + 1) / 2 : images;
        double passes = Math.Max(
            Activations * FeatureShare * atOnce, EvaluationActivations * Math.Min(Predictions.Batch, EvaluationImages));
        return (long)((OnGpu ? CudaContext : BaseBytes + NameBytes + (2 * LogitBytes)) + ImageBytes + LiveBatchBytes(images)
            + (copies * ParameterBytes) + (passes * ActivationBytes));
    }

    /// <summary>
    /// Bytes of the batches alive at once: the one in use, as bytes and twice as floats during normalisation, and on the
    /// CPU those that are queued, being decoded, or being copied; also those of held-out meta data.
    /// </summary>
    private long LiveBatchBytes(int images)
    {
        int ofABatch = (2 * sizeof(float)) + 1 + (OnGpu ? 0 : ImageBatchLoader.PrefetchCount + 2);
        return (Meta.UsesHeldOutData ? 2 : 1) * ofABatch * PictureBytes * Math.Max(images, Math.Min(Predictions.Batch, EvaluationImages));
    }

    /// <summary>What a step stores for the images it processes at once, in multiples of all layer outputs.</summary>
    private double Activations => (Meta.Learns, Meta.Gradient) switch
    {
        _ when IsFrozen => EvaluationActivations,
        (false, MetaGradientMethod.Forward) => 0.5,
        (false, _) => 1.5, // autograd's graph
        (true, MetaGradientMethod.Forward) => Meta.Memory == MetaMemory.Low ? 0.52 : 0.75, // one pass, or two
        (true, MetaGradientMethod.FiniteDifference) => 2.1,
        _ => 2.7, // a second-order graph
    };

    /// <summary>With Meta-GF: its state, twice if batches can be skipped, and what fusing needs.</summary>
    private static int Copies(Settings settings, int exits) => settings.Modifiers.MetaGf is { Enabled: true } own
        ? (own.StateCopies(exits) * (settings.Run.SkipNonFinite ? 2 : 1)) + exits + 2
        : settings.Modifiers.Combination.Value.IsByExit ? exits : 0;

    /// <summary>For a network with half-precision features: the training pass uses them, the passes of the meta gradient do not.</summary>
    private static double HalfPrecisionShare(MetaSettings meta) => !meta.Learns ? 0.5 : meta.Memory == MetaMemory.Low ? 1 : 0.75;

    private static long Bytes(Tensor tensor) => tensor.numel() * tensor.element_size();
}
