using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones;

public abstract partial class MultiExitNetwork
{
    /// <summary>A forward pass that proceeds exit by exit and may drop samples along the way.</summary>
    internal sealed class ExitWalk(MultiExitNetwork network, Tensor images, Pass pass)
    {
        private readonly GradientEquilibrium _equilibrium = new(network._equilibrium, network.Exits);
        private readonly Boosting _boosting = new(network._boosting, network.Exits);
        private Tensor[] _features =
        [
            pass.Folding is null ? network.InFeatureType(images, pass.Statistics) : TensorLayout.ChannelsLast(images),
        ];
        private Tensor? _logits;
        private int _next;

        /// <summary>The number of elements per sample that are passed to the next block and exit.</summary>
        public long CarriedElements => Distinct().Sum(tensor => tensor.numel() / tensor.size(0));

        /// <summary>Runs the next block and its exit: logits <c>[N, C]</c> of the samples still in the batch.</summary>
        public Tensor Next()
        {
            int k = _next++;
            Tensor[] features = InScope(() => network.Block(k, _features, pass));
            (Tensor[] read, _features) = _equilibrium.At(k, features, pass);
            return _logits = InScope(() => [_boosting.Add(k, network.Exit(k, read, _logits, pass), _logits, pass)])[0];
        }

        /// <summary>
        /// Keeps only the first <paramref name="size"/> rows, after moving later rows into the gaps among them.
        /// </summary>
        /// <inheritdoc cref="TensorLayout.CompactRows"/>
        public void CompactRows(Tensor gaps, Tensor sources, long size)
        {
            // A tensor that later blocks read in two places is compacted once, and stays one tensor.
            Dictionary<Tensor, Tensor> kept = Distinct()
                .ToDictionary(tensor => tensor, tensor => TensorLayout.CompactRows(tensor, gaps, sources, size), ReferenceComparer);
            _features = Array.ConvertAll(_features, feature => kept[feature]);
            _logits = kept[_logits!];
        }

        private static IEqualityComparer<Tensor> ReferenceComparer => ReferenceEqualityComparer.Instance;

        private IEnumerable<Tensor> Distinct() => _features.Append(_logits!).Distinct(ReferenceComparer);

        /// <summary>The caller owns the result; intermediates are disposed, except those kept by the tape or autograd.</summary>
        private static Tensor[] InScope(Func<Tensor[]> compute)
        {
            using DisposeScope scope = NewDisposeScope();
            return Array.ConvertAll(compute(), scope.MoveToOuter);
        }
    }
}
