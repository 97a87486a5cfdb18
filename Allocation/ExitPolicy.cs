using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace Imta.MetaWeight.Allocation;

/// <summary>
/// Decides at which exit a sample leaves, by its scores at the exits so far and by nothing else: not by other samples of its batch. At the
/// last exit every sample leaves. A kind of policy is one class and one call of <see cref="ExitPolicies.Register"/>.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>M</c> of them still in the network, <c>K</c> exits, <c>C</c> classes.</remarks>
public interface IExitPolicy
{
    /// <summary>The kind's name in policy files, as registered.</summary>
    string Kind { get; }

    /// <summary>K of the networks it is for; null: any.</summary>
    int? Exits { get; }

    /// <summary>The score.</summary>
    IExitCriterion Criterion { get; }

    /// <summary>Which samples leave at exit k, bool <c>[N]</c>.</summary>
    /// <param name="scores"><c>[N, k + 1]</c>: the scores at exits 0 … k, k ≤ K − 2 (at the last exit the policy is not asked).</param>
    Tensor Leaves(Tensor scores);

    /// <summary>Adds the kind's own keys to a policy file.</summary>
    /// <param name="section">Receives the keys, which must not reuse the keys in docs/files.md.</param>
    void Write(JsonObject section);
}

/// <summary>The kinds of policies, and what holds for every policy.</summary>
public static class ExitPolicies
{
    private static ImmutableSortedDictionary<string, Func<PolicySection, IExitPolicy>> _readers =
        ImmutableSortedDictionary.Create<string, Func<PolicySection, IExitPolicy>>(StringComparer.Ordinal)
            .Add(ThresholdPolicy.Name, ThresholdPolicy.Read);

    /// <summary>The names of all kinds.</summary>
    public static IReadOnlyList<string> Kinds => [.. _readers.Keys];

    /// <summary>Registers a kind of policy; called before a policy file of this kind is read.</summary>
    /// <param name="kind">Its <see cref="IExitPolicy.Kind"/>.</param>
    /// <param name="read">Creates the policy from its keys in a file; throws <see cref="FormatException"/> where they are invalid.</param>
    /// <exception cref="ArgumentException">There is already a kind of this name.</exception>
    public static void Register(string kind, Func<PolicySection, IExitPolicy> read)
        => ImmutableInterlocked.Update(ref _readers, readers => readers.ContainsKey(kind)
            ? throw new ArgumentException($"there is a kind {kind} already", nameof(kind))
            : readers.Add(kind, read));

    /// <summary>The policy that a file's keys describe.</summary>
    /// <param name="kind">Its kind.</param>
    /// <param name="section">The keys.</param>
    /// <exception cref="FormatException">The kind is unknown, or its keys are missing or invalid.</exception>
    public static IExitPolicy Read(string kind, PolicySection section) => _readers.TryGetValue(kind, out var read)
        ? read(section)
        : throw new FormatException($"kind is {kind}; expected {string.Join(" or ", Kinds)}");

    /// <summary>The exit of each sample, int64 <c>[N]</c> of 0 … K − 1, given the scores at all exits.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="scores"><c>[N, K]</c>.</param>
    public static Tensor ExitOf(this IExitPolicy policy, Tensor scores)
    {
        using DisposeScope scope = NewDisposeScope();
        long last = scores.shape[1] - 1;
        Tensor exits = full([scores.shape[0]], Held(last), int64, scores.device);
        for (long k = last - 1; k >= 0; k--)
        {
            exits = exits.masked_fill(policy.Leaves(scores.narrow(1, 0, k + 1)), Held(k));
        }

        return scope.MoveToOuter(exits);
    }

    /// <summary>Where samples leave under a policy, and how many of them are predicted correctly.</summary>
    /// <param name="policy">The policy.</param>
    /// <param name="scores"><c>[N, K]</c>.</param>
    /// <param name="correct">bool <c>[N, K]</c>: whether the exit's prediction is correct.</param>
    public static BudgetedOutcome Apply(this IExitPolicy policy, Tensor scores, Tensor correct)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor leaves = policy.ExitOf(scores).unsqueeze(1).eq(arange(Held(0), Held(scores.shape[1]), One, int64, scores.device)); // [N, K]
        return new BudgetedOutcome(Count(leaves), Count(leaves.logical_and(correct)));

        static long[] Count(Tensor flags) => flags.sum([0], type: int64).cpu().data<long>().ToArray(); // [K]
    }
}

/// <summary>
/// A policy in early-exit execution (the <c>ExitRule</c> of <c>Backbones.EarlyExit</c>): it scores each exit's logits and remembers the
/// batch's scores at earlier exits. A batch starts at exit 0.
/// </summary>
/// <param name="policy">The policy.</param>
public sealed class ExitPolicyRule(IExitPolicy policy)
{
    private Tensor? _scores; // [N, k + 1] of the batch; belongs to the dispose scope of the execution

    /// <summary>Which samples exit at an exit, bool <c>[M]</c>.</summary>
    /// <param name="exit">0 … K − 2.</param>
    /// <param name="logits"><c>[M, C]</c>.</param>
    /// <param name="rows">int64 <c>[M]</c>: the index of each sample in the batch; at exit 0, all indices in order.</param>
    public Tensor Leaves(int exit, Tensor logits, Tensor rows)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor own = policy.Criterion.Score(logits).unsqueeze(1); // [M, 1]
        _scores = scope.MoveToOuter(exit == 0 ? own : cat([_scores!, zeros_like(_scores!.narrow(1, 0, 1)).index_copy(0, rows, own)], 1));
        return scope.MoveToOuter(policy.Leaves(exit == 0 ? own : _scores.index_select(0, rows)));
    }
}
