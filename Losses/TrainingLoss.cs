namespace Imta.MetaWeight.Losses;

/// <summary>
/// The training loss l per sample and exit: cross-entropy, if enabled with label smoothing (Szegedy et al., CVPR 2016), one-for-all
/// distillation (Li et al., ICCV 2019) and the weight of the label's class. The plain cross-entropy is returned too, from the same
/// log-probabilities.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
public sealed class TrainingLoss : IDisposable
{
    private readonly double _smoothing;
    private readonly DistillationOptions? _distillation;
    private readonly Tensor? _classWeights; // [C]
    private readonly double _after;
    private bool _weighsClasses = true;

    /// <summary>Creates the loss for these options.</summary>
    /// <param name="options">Smoothing, distillation and class weights.</param>
    /// <param name="classCounts">Training images per class, C numbers.</param>
    /// <param name="type">The logits' element type.</param>
    /// <param name="device">The logits' device.</param>
    public TrainingLoss(LossOptions options, IReadOnlyList<long> classCounts, ScalarType type, Device device)
    {
        _smoothing = options.LabelSmoothing;
        _distillation = options.Ofa.Enabled ? options.Ofa : null;
        if (options.ClassWeights.Type != ClassWeighting.None)
        {
            _classWeights = tensor(ClassWeights.Compute(options.ClassWeights, classCounts), type, device).DetachFromDisposeScope();
            _after = options.ClassWeights.After;
        }
    }

    private TrainingLoss()
    {
    }

    /// <summary>Plain cross-entropy.</summary>
    public static TrainingLoss Plain { get; } = new();

    /// <summary>
    /// Begins an epoch: class weights apply from a given share of the epochs on (deferred re-weighting; Cao et al., NeurIPS 2019, section
    /// 3.3), at least in the last one. Until the first call they apply.
    /// </summary>
    /// <param name="epoch">From 0.</param>
    /// <param name="epochs">The epochs of this training, or of this phase of it.</param>
    public void BeginEpoch(int epoch, int epochs)
        => _weighsClasses = epoch >= Math.Min(Math.Round(_after * epochs, 9), epochs - 1); // in float64, 0.29 · 100 is below 29

    /// <summary>Plain cross-entropies and losses l of each sample at each exit, both <c>[N, K]</c> with autograd history.</summary>
    /// <param name="logits">K × <c>[N, C]</c>.</param>
    /// <param name="labels">Class indices, int64 <c>[N]</c>.</param>
    /// <param name="teacher">Logits <c>[N, C]</c> that distillation imitates; null: those of the last exit. No gradient flows into
    /// them.</param>
    public (Tensor CrossEntropies, Tensor Losses) PerSample(IReadOnlyList<Tensor> logits, Tensor labels, Tensor? teacher = null)
    {
        Tensor logProbabilities = CrossEntropy.LogProbabilities(logits); // [N, K, C]
        Tensor crossEntropies = CrossEntropy.FromLogProbabilities(logProbabilities, labels); // [N, K]
        Tensor losses = crossEntropies;
        if (_smoothing != 0)
        {
            losses = losses.mul(Held(1 - _smoothing)).sub(logProbabilities.mean([2]).mul(Held(_smoothing))); // [N, K]
        }

        if (_distillation is not null)
        {
            losses = Distillation.Apply(_distillation, losses, logits, teacher ?? logits[^1]);
        }

        if (_classWeights is not null && _weighsClasses)
        {
            losses = losses.mul(_classWeights.index_select(0, labels).unsqueeze(1)); // [N, K] · [N, 1]
        }

        return (crossEntropies, losses);
    }

    /// <inheritdoc/>
    public void Dispose() => _classWeights?.Dispose();
}

/// <summary>Cross-entropy per sample and exit.</summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
public static class CrossEntropy
{
    /// <summary>−log softmax(z)[label] of each sample at each exit, <c>[N, K]</c>.</summary>
    /// <param name="logits">K × <c>[N, C]</c>.</param>
    /// <param name="labels">Class indices, int64 <c>[N]</c>.</param>
    public static Tensor PerSample(IReadOnlyList<Tensor> logits, Tensor labels) => FromLogProbabilities(LogProbabilities(logits), labels);

    /// <summary>log softmax(z), <c>[N, K, C]</c>.</summary>
    internal static Tensor LogProbabilities(IReadOnlyList<Tensor> logits) => stack(logits, 1).log_softmax(2);

    internal static Tensor FromLogProbabilities(Tensor logProbabilities, Tensor labels)
    {
        Tensor ofLabel = labels.view(-1, 1, 1).expand(-1, logProbabilities.shape[1], 1); // [N, K, 1]
        return logProbabilities.gather(2, ofLabel).squeeze(2).neg(); // [N, K]
    }
}
