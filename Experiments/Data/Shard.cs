namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// The part of every batch, and of every set, that one of several processes takes. A batch is cut as the bilevel loop cuts it, and each
/// half is dealt out: the halves of all shards together are the halves of the batch.
/// </summary>
/// <param name="Rank">Which process, 0 … <paramref name="Of"/> − 1.</param>
/// <param name="Of">How many there are.</param>
internal readonly record struct Shard(int Rank, int Of)
{
    /// <summary>All of it.</summary>
    public static Shard Whole { get; } = new(0, 1);

    /// <summary>The first of <paramref name="count"/> neighbours that are this process's, and how many: the same number for each, or one more for the first ranks.</summary>
    public (long Start, long Count) Range(long count)
    {
        (long least, long more) = Math.DivRem(count, Of);
        return ((Rank * least) + Math.Min(Rank, more), least + (Rank < more ? 1 : 0));
    }

    /// <summary>Which of a batch's samples are this process's: int64 <c>[n]</c> of 0 … <paramref name="count"/> − 1, those of the batch's first half first.</summary>
    /// <param name="count">Samples of the batch.</param>
    public Tensor Within(long count)
    {
        using DisposeScope scope = NewDisposeScope();
        long half = (count + 1) / 2;
        (long firstStart, long first) = Range(half);
        (long secondStart, long second) = Range(count - half);
        return scope.MoveToOuter(cat([arange(firstStart, firstStart + first, ScalarType.Int64), arange(half + secondStart, half + secondStart + second, ScalarType.Int64)]));
    }
}
