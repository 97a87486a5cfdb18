using System.Collections;
using System.Collections.Specialized;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Meta;
using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>Every training sample's weights and losses over one epoch, for <c>weights/</c>.</summary>
internal sealed class WeightRecord
{
    private readonly List<(long[] Rows, float[] Losses, float[] Weights)> _parts = [];
    private readonly int _exits;

    public WeightRecord(int exits) => _exits = exits;

    /// <summary>Takes the reports of one batch, whose samples they share in order. Waits for the device.</summary>
    public void Add(Batch batch, IReadOnlyList<PartReport> parts)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor losses = cat([.. parts.Select(part => part.CrossEntropies)]), weights = cat([.. parts.Select(part => part.Weights)]); // [N, K]
        _parts.Add((batch.Rows.data<long>().ToArray(), losses.cpu().data<float>().ToArray(), weights.cpu().data<float>().ToArray()));
    }

    /// <summary>What there is so far, for a checkpoint; the tensors belong to the open dispose scope.</summary>
    public OrderedDictionary Content() => new()
    {
        ["rows"] = tensor(_parts.SelectMany(part => part.Rows).ToArray()),
        ["losses"] = tensor(_parts.SelectMany(part => part.Losses).ToArray()),
        ["weights"] = tensor(_parts.SelectMany(part => part.Weights).ToArray()),
    };

    /// <summary>Goes on from what a checkpoint holds.</summary>
    public void Restore(Hashtable content) => _parts.Add((
        ((Tensor)content["rows"]!).data<long>().ToArray(), ((Tensor)content["losses"]!).data<float>().ToArray(), ((Tensor)content["weights"]!).data<float>().ToArray()));

    /// <summary>The rows of the table, by sample and exit.</summary>
    public IEnumerable<WeightRow> Table(ImageSet images)
    {
        long[] labels = images.Labels.data<long>().ToArray();
        long[] positions = images.Positions.data<long>().ToArray();
        float[]? difficulty = images.Difficulty?.data<float>().ToArray();
        var visits = _parts
            .SelectMany(part => part.Rows.Select((row, i) => (Row: row, Part: part, At: i)))
            .OrderBy(visit => positions[visit.Row]);
        foreach ((long row, (_, float[] losses, float[] weights), int at) in visits)
        {
            for (int k = 0; k < _exits; k++)
            {
                yield return new WeightRow
                {
                    Sample = positions[row],
                    Label = labels[row],
                    Difficulty = difficulty?[row],
                    Exit = k + 1,
                    Loss = losses[(at * _exits) + k],
                    Weight = weights[(at * _exits) + k],
                };
            }
        }
    }

    /// <summary>Spearman's rank correlation of weight and known difficulty at each exit; NaN where all weights are equal.</summary>
    public static double[] DifficultyCorrelation(IEnumerable<WeightRow> rows) => [.. rows
        .GroupBy(row => row.Exit)
        .OrderBy(ofExit => ofExit.Key)
        .Select(ofExit => Correlation.Spearman(ofExit.Select(row => (double)row.Weight), ofExit.Select(row => (double)row.Difficulty!.Value)))];
}
