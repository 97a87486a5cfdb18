using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// This rank's sums over the samples of <c>epochs.csv</c>'s columns in an epoch. They stay on the device until needed at the
/// epoch's end, for a checkpoint or for the progress line.
/// </summary>
internal sealed class EpochStatistics : IDisposable
{
    private const int Sums = 3; // n, Σ x, Σ x²

    private readonly IReadOnlyList<EpochColumn> _columns;
    private readonly long _exits;
    private readonly Tensor _sums; // float64 [columns, 3, K]
    private double[] _total = []; // over all ranks, in the same layout

    public EpochStatistics(IReadOnlyList<EpochColumn> columns, int exits, Device device)
    {
        (_columns, _exits) = (columns, exits);
        _sums = zeros([columns.Count, Sums, exits], float64, device).DetachFromDisposeScope();
    }

    private IEnumerable<(string Name, int At)> Summed
        => _columns.Index().Where(column => column.Item.Samples is not null).Select(column => (column.Item.Name, column.Index));

    public void Add(HalfBatchReport half)
    {
        using DisposeScope scope = NewDisposeScope();
        foreach ((int at, EpochColumn column) in _columns.Index())
        {
            if (column.Samples?.Invoke(half) is { } samples)
            {
                _sums.select(0, at).add_(SumsOf(column, samples.to_type(float64)), One);
            }
        }
    }

    /// <summary>
    /// The sums of every rank so far, <c>[ranks, 3, K]</c> by column, for a checkpoint; they belong to the open dispose scope. Waits for
    /// the device.
    /// </summary>
    public StateTree GatherState(ProcessGroup processGroup)
    {
        Tensor all = GatherSums(processGroup);
        return new(Summed.Select(column => KeyValuePair.Create(column.Name, all.select(1, column.At).contiguous())));
    }

    /// <summary>Continues from this rank's sums in a checkpoint.</summary>
    public void Restore(StateTree content, Shard shard)
    {
        using DisposeScope scope = NewDisposeScope();
        foreach ((string name, int at) in Summed)
        {
            _sums.select(0, at).copy_(content.Tensor(name).select(0, shard.Rank).view(Sums, _exits));
        }
    }

    /// <summary>
    /// The mean of a column's samples so far, over this rank's samples and all exits; null: there are none. Waits for the device.
    /// </summary>
    public double? MeanSoFar(string column)
    {
        using DisposeScope scope = NewDisposeScope();
        double[] sums = _sums.select(0, Summed.First(summed => summed.Name == column).At).sum([1]).cpu().ToArray<double>();
        return new SampleSums(sums[0], sums[1], sums[2]).Mean;
    }

    /// <summary>Ends the epoch: copies the sums over all ranks to the host. Waits for the device.</summary>
    public void Finish(ProcessGroup processGroup)
    {
        using DisposeScope scope = NewDisposeScope();
        _total = GatherSums(processGroup).sum([0]).ToArray<double>();
    }

    /// <summary>The rows of <c>epochs.csv</c>, one per exit with a value per column, after <see cref="Finish"/>.</summary>
    public double?[][] Rows(IEnumerable<ExitEpoch> exits) => [.. exits.Select(exit => _columns
        .Select((column, at) => column.Value(exit with { Samples = Total(at, exit.Exit - 1) })).ToArray())];

    public void Dispose() => _sums.Dispose();

    private Tensor SumsOf(EpochColumn column, Tensor x) => x.dim() == 2 && (x.shape[1] == _exits || x.shape[1] == 1)
        ? stack([full(x.shape[1], Held(x.shape[0]), float64, x.device), x.sum([0]), (x * x).sum([0])]) // [3, K] or [3, 1]
        : throw new InvalidOperationException(
            $"column '{column.Name}': expected samples [n, {_exits}] or [n, 1], but it gives {ShapeText(x)}");

    /// <summary>The sums of each rank, on the CPU: <c>[ranks, columns, 3, K]</c>.</summary>
    private Tensor GatherSums(ProcessGroup processGroup) => processGroup.AllGather(_sums.cpu());

    private SampleSums Total(int column, int exit)
    {
        double Of(int sum) => _total[((((long)column * Sums) + sum) * _exits) + exit];
        return new SampleSums(Of(0), Of(1), Of(2));
    }
}
