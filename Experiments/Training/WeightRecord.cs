using System.Collections;
using System.Collections.Specialized;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Processes;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Meta;
using MathNet.Numerics.Statistics;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>Every training sample's weights and losses over one epoch, for <c>weights/</c>.</summary>
internal sealed class WeightRecord
{
    private readonly List<(long[] Rows, float[] Losses, float[] Confidences, float[] Weights)> _parts = [];
    private readonly int _exits;
    private readonly int _images;

    /// <param name="exits">K.</param>
    /// <param name="images">Training images.</param>
    public WeightRecord(int exits, int images) => (_exits, _images) = (exits, images);

    /// <summary>Takes the reports of one batch, whose samples they share in order. Waits for the device.</summary>
    public void Add(Batch batch, IReadOnlyList<PartReport> parts)
    {
        using DisposeScope scope = NewDisposeScope();
        _parts.Add((batch.Rows.data<long>().ToArray(), Values(part => part.CrossEntropies), Values(part => ExitCriteria.Confidence.Score(part.Logits)), Values(part => part.Weights)));

        float[] Values(Func<PartReport, Tensor> of) => cat([.. parts.Select(of)]).cpu().data<float>().ToArray(); // [N, K]
    }

    /// <summary>What there is so far in all processes, for a checkpoint; the tensors belong to the open dispose scope.</summary>
    public OrderedDictionary Content(Replicas replicas)
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor rows, Tensor values) = Gathered(replicas);
        Tensor Values(int which) => scope.MoveToOuter(values.select(0, which).flatten());
        return new() { ["rows"] = scope.MoveToOuter(rows), ["losses"] = Values(0), ["confidences"] = Values(1), ["weights"] = Values(2) };
    }

    /// <summary>Takes in what the other processes have seen.</summary>
    public void Gather(Replicas replicas)
    {
        if (!replicas.AreSeveral)
        {
            return;
        }

        using DisposeScope scope = NewDisposeScope();
        (Tensor rows, Tensor values) = Gathered(replicas);
        float[] Values(int which) => values.select(0, which).flatten().data<float>().ToArray();
        _parts.Clear();
        _parts.Add((rows.data<long>().ToArray(), Values(0), Values(1), Values(2)));
    }

    /// <summary>Goes on from what a checkpoint holds.</summary>
    public void Restore(Hashtable content)
    {
        _parts.Add((((Tensor)content["rows"]!).data<long>().ToArray(), Values("losses"), Values("confidences"), Values("weights")));

        float[] Values(string name) => ((Tensor)content[name]!).data<float>().ToArray();
    }

    /// <summary>The images that any process has seen, int64 <c>[n]</c>, and their losses, confidences and weights, float32 <c>[3, n, K]</c>. No two have seen the same.</summary>
    private (Tensor Rows, Tensor Values) Gathered(Replicas replicas)
    {
        Tensor rows = tensor(_parts.SelectMany(part => part.Rows).ToArray());
        Tensor Values(Func<(long[] Rows, float[] Losses, float[] Confidences, float[] Weights), float[]> of) => tensor(_parts.SelectMany(of).ToArray()).view(-1, _exits);
        Tensor values = stack([Values(part => part.Losses), Values(part => part.Confidences), Values(part => part.Weights)]); // [3, n, K]
        if (!replicas.AreSeveral)
        {
            return (rows, values);
        }

        Tensor seen = zeros([_images], int64).index_copy_(0, rows, ones_like(rows));
        Tensor all = zeros([3, _images, _exits], float32).index_copy_(1, rows, values);
        replicas.Sum(seen);
        replicas.Sum(all);
        Tensor whole = seen.nonzero().squeeze(1);
        return (whole, all.index_select(1, whole));
    }

    /// <summary>The rows of the table, by sample and exit.</summary>
    public IEnumerable<WeightRow> Table(ImageSet images)
    {
        long[] labels = images.Labels.data<long>().ToArray();
        long[] positions = images.Positions.data<long>().ToArray();
        float[]? difficulty = images.Difficulty?.data<float>().ToArray();
        var visits = _parts
            .SelectMany(part => part.Rows.Select((row, i) => (Row: row, Part: part, At: i)))
            .OrderBy(visit => positions[visit.Row]);
        foreach ((long row, (_, float[] losses, float[] confidences, float[] weights), int at) in visits)
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
                    Confidence = confidences[(at * _exits) + k],
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
