using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>
/// The most memory that a process of a run takes of what it computes with, CPU or GPU, estimated. The constants are measured on the CPU;
/// of a GPU
/// the room of CUDA itself is a guess (docs/checks.md).
/// </summary>
/// <param name="ImageBytes">Of the images of all sets, where they are in memory.</param>
/// <param name="ParameterBytes">Of θ and Θ.</param>
/// <param name="ActivationBytes">Of all layers' outputs for one image, in float32.</param>
/// <param name="TrainImages">Training images.</param>
/// <param name="EvaluationImages">Images of the larger of the validation and test set.</param>
/// <param name="Processes">That share each batch.</param>
/// <param name="IsFrozen">Whether most of the network is frozen: phase II.</param>
/// <param name="Meta">How weights are learned, if they are.</param>
internal sealed record MemoryNeed(long ImageBytes, long ParameterBytes, long ActivationBytes, int TrainImages, int EvaluationImages, int Processes, bool IsFrozen, MetaOptions Meta)
{
    private const long Program = 250 * ByteSize.Mib; // .NET and libtorch with nothing to do
    private const long CudaContext = 700 * ByteSize.Mib; // its kernels, cuDNN's and cuBLAS's rooms
    private const double EvaluationActivations = 0.15;

    /// <summary>Whether it is a GPU's memory.</summary>
    public bool OnGpu { get; init; }

    /// <summary>Bytes of a feature while training, in those of float32.</summary>
    public double FeatureShare { get; init; } = 1;

    /// <summary>Bytes of a picture whose files are read batch by batch; 0: images are in memory.</summary>
    public long PictureBytes { get; init; }

    /// <summary>Of the names of the pictures' files, in the CPU's memory.</summary>
    public long NameBytes { get; init; }

    public static MemoryNeed From(
        TrainingPhase phase, MultiExitNetwork network, ISampleWeighting weighting, NetworkCost cost, RunData data)
    {
        IEnumerable<Tensor> parameters = network.parameters().Concat(weighting.Parameters);
        ImageSet[] sets = [data.Train, data.Validation, data.Test, .. data.Meta is { } meta ? [meta] : Array.Empty<ImageSet>()];
        return new MemoryNeed(
            sets.Sum(set => set.Files is null ? set.Images.numel() : 0),
            parameters.Sum(Bytes),
            cost.Activations * network.Parameters[0].element_size(),
            data.Train.Count,
            Math.Max(data.Validation.Count, data.Test.Count),
            phase.Settings.Processes,
            phase.Number == 2,
            phase.Settings.Meta)
        {
            OnGpu = phase.Settings.Device != "cpu",
            PictureBytes = data.Train.Files?.Bytes ?? 0,
            NameBytes = sets.Select(set => set.Files).OfType<PictureFiles>().Distinct().Sum(files => files.NameBytes),
            FeatureShare = network.FeatureType is null ? 1 : ShareInHalf(phase.Settings.Meta),
        };
    }

    /// <summary>The bytes with batches of this size, of all processes together.</summary>
    public long At(int batch)
    {
        int images = (Math.Min(batch, TrainImages) + Processes - 1) / Processes;
        int copies = (Meta.Predicts ? 8 : 4) + (Processes > 1 ? 1 : 0); // θ, gradient, momentum and step; the lookahead's too; the buckets of means
        double atOnce = Meta.Cuts ? (images + 1) / 2 : images;
        double passes = Math.Max(Activations * FeatureShare * atOnce, EvaluationActivations * Math.Min(Predictions.Batch, EvaluationImages));
        return (long)((OnGpu ? CudaContext : Program + NameBytes) + ImageBytes + PicturesAtOnce(images) + (copies * ParameterBytes) + (passes * ActivationBytes));
    }

    /// <summary>
    /// Bytes of the batches that are there at once: the one in use, as bytes and twice as numbers while they are normalised, and on the
    /// CPU those that wait, are made, or are copied into it; those of held-out meta data too.
    /// </summary>
    private long PicturesAtOnce(int images)
    {
        int ofABatch = (2 * sizeof(float)) + 1 + (OnGpu ? 0 : PictureBatches.Ahead + 2);
        return (Meta.HoldsOut ? 2 : 1) * ofABatch * PictureBytes * Math.Max(images, Math.Min(Predictions.Batch, EvaluationImages));
    }

    /// <summary>What a step keeps of the images that it works on at once, in outputs of all layers.</summary>
    private double Activations => (Meta.Predicts, Meta.Gradient) switch
    {
        _ when IsFrozen => EvaluationActivations,
        (false, MetaGradientMethod.Forward) => 0.5,
        (false, _) => 1.5, // autograd's graph
        (true, MetaGradientMethod.Forward) => Meta.Memory == MetaMemory.Low ? 0.52 : 0.75, // one pass, or two
        (true, MetaGradientMethod.FiniteDifference) => 2.1,
        _ => 2.7, // a graph of second order
    };

    /// <summary>Of a network with features of half the size: the pass that trains has them, those of the meta gradient do not.</summary>
    private static double ShareInHalf(MetaOptions meta) => !meta.Predicts ? 0.5 : meta.Memory == MetaMemory.Low ? 1 : 0.75;

    private static long Bytes(Tensor tensor) => tensor.numel() * tensor.element_size();
}
