namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// The part of every batch, and of every set, that one of several processes handles. A batch is split as in the bilevel loop, and each
/// half is distributed: the halves of all shards together are the halves of the batch.
/// </summary>
/// <param name="Rank">The rank of the process, 0 … <paramref name="Count"/> − 1.</param>
/// <param name="Count">The number of processes.</param>
internal readonly record struct Shard(int Rank, int Count)
{
    /// <summary>The whole batch.</summary>
    public static Shard Full { get; } = new(0, 1);

    /// <summary>
    /// This process's contiguous range of <paramref name="count"/> items: equal for all ranks, or one more for the first ranks.
    /// </summary>
    public (long Start, long Count) Range(long count)
    {
        (long least, long more) = Math.DivRem(count, Count);
        return ((Rank * least) + Math.Min(Rank, more), least + (Rank < more ? 1 : 0));
    }

    /// <summary>
    /// The indices of this process's samples in a batch: int64 <c>[n]</c> of 0 … <paramref name="count"/> − 1, those of the batch's first
    /// half first.
    /// </summary>
    /// <param name="count">The number of samples in the batch.</param>
    public Tensor Indices(long count)
    {
        using DisposeScope scope = NewDisposeScope();
        long half = (count + 1) / 2;
        (long firstStart, long first) = Range(half);
        (long secondStart, long second) = Range(count - half);
        return scope.MoveToOuter(
            cat(
                [
                    arange(Held(firstStart), Held(firstStart + first), One, ScalarType.Int64),
                    arange(Held(half + secondStart), Held(half + secondStart + second), One, ScalarType.Int64)
                ]));
    }
}
