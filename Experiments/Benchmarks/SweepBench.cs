using System.Diagnostics;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>
/// Thresholds for 39 budgets from random logits, and the resulting exits: vectorised over all budgets, and in per-sample loops.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
internal sealed class SweepBench : IDisposable
{
    public const int Samples = 2_500;
    public const int Exits = 5;
    public const int Classes = 100;
    public const int Points = 39;

    private readonly DisposeScope _scope = NewDisposeScope();
    private readonly Tensor _logits; // [N, K, C]
    private readonly Tensor _labels; // [N]
    private readonly int[][] _quotas;
    private readonly Dictionary<string, BudgetedOutcome[]> _outcomes = [];

    public SweepBench(long seed)
    {
        using Generator random = SeedSequence.Generator(seed, nameof(SweepBench));
        _logits = randn([Samples, Exits, Classes], generator: random).mul(Held(3));
        _labels = randint(Classes, [Samples], int64, generator: random);
        _quotas = [.. Enumerable.Range(1, Points).Select(p => ExitShares.Quotas(ExitShares.FromQ(EvaluationReport.Q(p), Exits), Samples))];
    }

    /// <summary>All budgets at once.</summary>
    public BenchmarkCase Vectorised() => new("vectorised sweep", () => Timed("vectorised", () =>
    {
        Tensor confidence = ExitCriteria.Confidence.Score(_logits);
        Tensor correct = _logits.argmax(2).eq(_labels.unsqueeze(1));
        return BudgetedInference.Apply(confidence, correct, BudgetedInference.Thresholds(confidence, _quotas));
    }));

    /// <summary>A loop over samples that reads one tensor element at a time, as the published code does.</summary>
    public BenchmarkCase TensorLoop() => new("loop over tensor elements", () => Timed("tensors", () =>
    {
        (Tensor confidence, Tensor answers) = _logits.softmax(2).max(2); // [N, K]
        return Loop(
            (i, k) => Element(confidence, i, k).item<float>(),
            (i, k) => Element(answers, i, k).item<long>() == _labels.select(0, i).item<long>());
    }));

    /// <summary>The same loop on plain arrays.</summary>
    public BenchmarkCase ArrayLoop() => new("loop over array elements", () => Timed("arrays", () =>
    {
        (Tensor confidence, Tensor answers) = _logits.softmax(2).max(2); // [N, K]
        float[] sure = confidence.ToArray<float>();
        bool[] right = answers.eq(_labels.unsqueeze(1)).ToArray<bool>();
        return Loop((i, k) => sure[(i * Exits) + k], (i, k) => right[(i * Exits) + k]);
    }));

    /// <summary>Whether all variants computed the same result.</summary>
    public bool ResultsAgree
        => _outcomes.Values.Select(outcomes => string.Join(' ', outcomes.SelectMany(outcome => outcome.Leaving.Concat(outcome.Correct))))
            .Distinct()
            .Count() == 1;

    public void Dispose() => _scope.Dispose();

    private static Tensor Element(Tensor values, int i, int k) => values.select(0, i).select(0, k);

    private double Timed(string name, Func<BudgetedOutcome[]> sweep)
    {
        using DisposeScope scope = NewDisposeScope();
        var clock = Stopwatch.StartNew();
        _outcomes[name] = sweep();
        return clock.Elapsed.TotalSeconds;
    }

    /// <summary>Loops over budgets and samples.</summary>
    private BudgetedOutcome[] Loop(Func<int, int, float> confidence, Func<int, int, bool> right) => Array.ConvertAll(_quotas, quotas =>
    {
        var thresholds = new float[Exits];
        var gone = new bool[Samples];
        for (int k = 0; k < Exits - 1; k++)
        {
            thresholds[k] = Threshold(k, quotas[k], gone, confidence);
        }

        thresholds[^1] = BudgetedInference.Always;
        return Outcome(thresholds, confidence, right);
    });

    private static float Threshold(int k, int quota, bool[] gone, Func<int, int, float> confidence)
    {
        using DisposeScope scope = NewDisposeScope();
        float threshold = BudgetedInference.Never;
        float[] own = [.. Enumerable.Range(0, Samples).Select(i => confidence(i, k))];
        int[] order = [.. Enumerable.Range(0, Samples)];
        Array.Sort(own.Select(value => -value).ToArray(), order);
        int taken = 0;
        foreach (int i in order)
        {
            if (!gone[i] && ++taken == quota)
            {
                threshold = own[i];
                break;
            }
        }

        for (int i = 0; i < Samples; i++)
        {
            gone[i] |= own[i] >= threshold;
        }

        return threshold;
    }

    private static BudgetedOutcome Outcome(float[] thresholds, Func<int, int, float> confidence, Func<int, int, bool> right)
    {
        long[] leaving = new long[Exits], correct = new long[Exits];
        for (int i = 0; i < Samples; i++)
        {
            using DisposeScope scope = NewDisposeScope();
            int k = 0;
            while (confidence(i, k) < thresholds[k])
            {
                k++;
            }

            leaving[k]++;
            correct[k] += right(i, k) ? 1 : 0;
        }

        return new BudgetedOutcome(leaving, correct);
    }
}
