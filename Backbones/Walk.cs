using Imta.MetaWeight.Backbones.Linearised;

namespace Imta.MetaWeight.Backbones;

public abstract partial class MultiExitNetwork
{
    /// <summary>A forward pass that goes exit by exit, and may leave samples behind on the way.</summary>
    internal sealed class Walk(MultiExitNetwork network, Tensor images, Pass pass)
    {
        private readonly GradientEquilibrium _equilibrium = new(network._equilibrium, network.Exits);
        private Tensor[] _features = [pass.Folding is null ? network.InFeatureType(images, pass.Statistics) : Layout.ChannelsLast(images)];
        private Tensor? _logits;
        private int _next;

        /// <summary>Numbers that a sample carries on to the next block and exit.</summary>
        public long Carried => Distinct().Sum(tensor => tensor.numel() / tensor.shape[0]);

        /// <summary>Runs the next block and its exit: logits <c>[N, C]</c> of the samples that are left.</summary>
        public Tensor Next()
        {
            int k = _next++;
            Tensor[] features = InScope(() => network.Block(k, _features, pass));
            (Tensor[] read, _features) = _equilibrium.At(k, features, pass);
            return _logits = InScope(() => [network.Exit(k, read, _logits, pass)])[0];
        }

        /// <summary>Goes on with <paramref name="size"/> of the samples: the first ones, but for some whose places others take.</summary>
        /// <inheritdoc cref="Layout.CompactRows"/>
        public void CompactRows(Tensor gaps, Tensor wanted, long size)
        {
            // A tensor that later blocks read in two places goes once.
            Dictionary<Tensor, Tensor> kept = Distinct()
                .ToDictionary(tensor => tensor, tensor => Layout.CompactRows(tensor, gaps, wanted, size), ReferenceComparer);
            _features = Array.ConvertAll(_features, feature => kept[feature]);
            _logits = kept[_logits!];
        }

        private static IEqualityComparer<Tensor> ReferenceComparer => ReferenceEqualityComparer.Instance;

        private IEnumerable<Tensor> Distinct() => _features.Append(_logits!).Distinct(ReferenceComparer);

        /// <summary>What comes out is the caller's; everything on the way goes, but for what tape and autograd hold on to.</summary>
        private static Tensor[] InScope(Func<Tensor[]> compute)
        {
            using DisposeScope scope = NewDisposeScope();
            return Array.ConvertAll(compute(), scope.MoveToOuter);
        }
    }
}
