using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>Evaluates a data set in several processes with identical networks, each on its shard.</summary>
internal static class DistributedEvaluation
{
    /// <summary>The predictions for all images, in every process; they belong to the enclosing dispose scope.</summary>
    /// <param name="network">The network, with the same state in every process.</param>
    /// <param name="set">All images; owned by the caller.</param>
    /// <param name="normalisation">The normalisation of the network's input.</param>
    /// <param name="device">The network's device.</param>
    /// <param name="processGroup">The process group.</param>
    /// <param name="stop">Stops all processes after the current batch.</param>
    /// <param name="logits">Whether to keep the logits.</param>
    /// <exception cref="UsageException">The network's logits are NaN or infinite (single process).</exception>
    /// <exception cref="CollectiveFailureException">They are (several processes; thrown in each).</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was requested in any of them.</exception>
    public static Predictions Evaluate(
        MultiExitNetwork network, ImageSet set, Normalisation normalisation, Device device, ProcessGroup processGroup,
        CancellationToken stop, bool logits = false)
    {
        if (!processGroup.IsDistributed)
        {
            Predictions whole = Predictions.Compute(network, set, normalisation, ExitCriteria.Confidence, device, stop, logits: logits);
            whole.Check();
            return whole;
        }

        using DisposeScope scope = NewDisposeScope();
        (long start, long count) = processGroup.Shard.Range(set.Count);
        using ImageSet shard = set.Select([.. Enumerable.Range((int)start, (int)count).Select(row => (long)row)]);
        Predictions own = Predictions.Compute(
            network, shard, normalisation, ExitCriteria.Confidence, device, CancellationToken.None, Look, logits: logits);
        if (Predictions.Batches(shard) < Predictions.Batches(new Shard(0, processGroup.Shard.Count).Range(set.Count).Count))
        {
            Look(); // the first shards may have one more batch
        }

        var all = new Predictions(set, Whole(own.Classes), Whole(own.Confidence), Whole(own.Scores), Whole(own.Losses), Whole(own.TopFive))
        {
            Logits = own.Logits is { } part ? Whole(part) : null,
        };
        processGroup.RunCollectively(all.Check);
        return all;

        void Look()
        {
            if (processGroup.AllReduceFlags(stop.IsCancellationRequested).Stop)
            {
                throw new OperationCanceledException(stop);
            }
        }

        Tensor Whole(Tensor part)
        {
            Tensor whole = zeros([set.Count, .. part.shape[1..]], part.dtype == ScalarType.Bool ? int64 : part.dtype);
            whole.narrow(0, start, count).copy_(part);
            processGroup.AllReduceSum(whole);
            return scope.MoveToOuter(part.dtype == ScalarType.Bool ? whole.to_type(ScalarType.Bool) : whole);
        }
    }
}
