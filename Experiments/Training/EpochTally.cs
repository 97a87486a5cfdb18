using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>Sums over an epoch's training samples, those of this process's shards, on the device; they come to the host once, at the epoch's end.</summary>
/// <remarks>Shapes: <c>N</c> samples of a part, <c>K</c> exits.</remarks>
internal sealed class EpochTally : IDisposable
{
    private const int Rows = 5;

    private readonly Tensor _sums; // cross-entropies, weighted losses, right answers, weights, squared weights [5, K]
    private readonly Tensor _objective; // sum of the meta objectives []
    private double[] _means = [];
    private double? _meanObjective;
    private long _samples;
    private int _objectives;

    public EpochTally(int exits, Device device)
    {
        _sums = zeros([Rows, exits], float64, device).DetachFromDisposeScope();
        _objective = zeros([], float64, device).DetachFromDisposeScope();
    }

    public void Add(HalfBatchReport part)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor crossEntropies = part.CrossEntropies.to_type(float64), losses = part.Losses.to_type(float64), weights = part.Weights.to_type(float64); // [N, K]
        Tensor[] rows = [crossEntropies, losses * weights, part.Correct.to_type(float64), weights, weights * weights];
        _sums.add_(stack([.. rows.Select(row => row.sum([0]))]));
        _samples += part.Losses.shape[0];
        if (part.Objective is { } objective)
        {
            _objective.add_(objective);
            _objectives++;
        }
    }

    /// <summary>What there is so far of every process, for a checkpoint; the tensors belong to the open dispose scope. Waits for the device.</summary>
    public StateTree Content(Replicas replicas) => new() { Tensors = { ["processes"] = Gathered(replicas) } };

    /// <summary>Goes on from what a checkpoint holds of this process.</summary>
    public void Restore(StateTree content, Shard shard)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor own = content.Tensor("processes").select(0, shard.Rank).to(_sums.device); // [5K + 3]
        long sums = _sums.numel();
        _sums.copy_(own.narrow(0, 0, sums).view(_sums.shape));
        _objective.copy_(own.select(0, sums));
        (_samples, _objectives) = ((long)own.select(0, sums + 1).item<double>(), (int)own.select(0, sums + 2).item<double>());
    }

    /// <summary>Ends the epoch: brings the sums of all processes to the host. Waits for the device.</summary>
    public void Close(Replicas replicas)
    {
        using DisposeScope scope = NewDisposeScope();
        double[] all = Gathered(replicas).sum([0]).ToArray<double>();
        (double objective, double samples, double objectives) = (all[^3], all[^2], all[^1]);
        _means = [.. all[..^3].Select(sum => sum / samples)];
        _meanObjective = objectives == 0 ? null : objective / objectives;
    }

    /// <summary>The sums, then the objectives' sum, samples and objectives, on the CPU: <c>[processes, 5K + 3]</c>.</summary>
    private Tensor Gathered(Replicas replicas)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor counts = tensor(new double[] { _samples, _objectives });
        return scope.MoveToOuter(replicas.Gather(cat([_sums.flatten().cpu(), _objective.view(1).cpu(), counts])));
    }

    /// <summary>The rows of <c>epochs.csv</c>, one an exit, after <see cref="Close"/>.</summary>
    public EpochRow[] Table(TrainingPhase phase, int epoch, Rates rates, ExitScore[]? validation, int skipped)
    {
        int exits = _means.Length / Rows;
        double Mean(int row, int exit) => _means[(row * exits) + exit];
        return [.. Enumerable.Range(0, exits).Select(k => new EpochRow
        {
            Epoch = phase.EpochsBefore + epoch + 1,
            Phase = phase.Number,
            Exit = k + 1,
            Rate = rates.Backbone,
            MetaRate = phase.Settings.Meta.Predicts ? rates.Meta : null,
            TrainLoss = Mean(0, k),
            TrainWeightedLoss = Mean(1, k),
            TrainAccuracy = Mean(2, k),
            ValidationLoss = validation?[k].Loss,
            ValidationAccuracy = validation?[k].Top1,
            MetaLoss = _meanObjective,
            WeightMean = Mean(3, k),
            WeightStd = Math.Sqrt(Math.Max(0, Mean(4, k) - (Mean(3, k) * Mean(3, k)))),
            SkippedBatches = skipped,
        })];
    }

    public void Dispose()
    {
        _sums.Dispose();
        _objective.Dispose();
    }
}
