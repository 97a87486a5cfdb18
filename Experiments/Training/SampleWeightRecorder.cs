using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Training.Distributed;
using Imta.MetaWeight.Meta;

namespace Imta.MetaWeight.Experiments.Training;

/// <summary>
/// Every training sample's losses, confidences and weights over one epoch, for <c>weights/</c>; kept on the device until read.
/// </summary>
/// <remarks>Shapes: <c>K</c> exits, <c>n</c> samples that this rank has seen so far.</remarks>
internal sealed class SampleWeightRecorder : IDisposable
{
    /// <summary>What is recorded of a half batch, <c>[N, K]</c>, by name in a checkpoint; <see cref="Table"/> needs the order.</summary>
    private static readonly (string Name, Func<HalfBatchReport, Tensor> Of)[] Recorded =
    [
        ("losses", half => half.CrossEntropies),
        ("confidences", half => ExitCriteria.Confidence.Score(half.Logits)),
        ("weights", half => half.Weights),
    ];

    private readonly int _exits;
    private readonly int _images;
    private readonly Tensor _rows; // int64, on the CPU; the first n are set
    private readonly Tensor _values; // float32 [3, images, K]: losses, confidences, weights, in the order of the rows
    private long _seen;

    /// <param name="exits">The number of exits K.</param>
    /// <param name="images">The number of training images.</param>
    /// <param name="device">The network's device.</param>
    public SampleWeightRecorder(int exits, int images, Device device)
    {
        (_exits, _images) = (exits, images);
        _rows = empty([images], int64).DetachFromDisposeScope();
        _values = empty([Recorded.Length, images, exits], float32, device).DetachFromDisposeScope();
    }

    /// <summary>Records the reports of one batch, which together cover its samples in order.</summary>
    public void Add(Batch batch, IReadOnlyList<HalfBatchReport> halves)
    {
        using DisposeScope scope = NewDisposeScope();
        Add(batch.Rows, stack([.. Recorded.Select(values => cat([.. halves.Select(values.Of)]).to_type(float32))])); // [3, samples, K]
    }

    /// <summary>What all ranks have so far, for a checkpoint; the tensors belong to the open dispose scope. Waits for the device.</summary>
    public StateTree GatherState(ProcessGroup processGroup)
    {
        using DisposeScope scope = NewDisposeScope();
        (Tensor rows, Tensor values) = Gathered(processGroup);
        var content = new StateTree { Tensors = { ["rows"] = scope.MoveToOuter(rows) } };
        foreach ((int at, (string name, _)) in Recorded.Index())
        {
            content.Tensors[name] = scope.MoveToOuter(values.select(0, at).flatten());
        }

        return content;
    }

    /// <summary>Merges the samples of the other processes. Waits for the device.</summary>
    public void Gather(ProcessGroup processGroup)
    {
        if (!processGroup.IsDistributed)
        {
            return;
        }

        using DisposeScope scope = NewDisposeScope();
        (Tensor rows, Tensor values) = Gathered(processGroup);
        _seen = 0;
        Add(rows, values);
    }

    /// <summary>Restores the values from a checkpoint.</summary>
    public void Restore(StateTree content)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor rows = content.Tensor("rows");
        Add(rows, stack([.. Recorded.Select(values => content.Tensor(values.Name).view(rows.numel(), _exits))]));
    }

    public void Dispose()
    {
        _rows.Dispose();
        _values.Dispose();
    }

    private void Add(Tensor rows, Tensor values)
    {
        long count = rows.numel();
        _rows.narrow(0, _seen, count).copy_(rows);
        _values.narrow(1, _seen, count).copy_(values);
        _seen += count;
    }

    /// <summary>
    /// The images that any rank has seen, int64 <c>[n]</c>, and what is recorded of them, float32 <c>[3, n, K]</c>, on the CPU. No two
    /// ranks have seen the same image.
    /// </summary>
    private (Tensor Rows, Tensor Values) Gathered(ProcessGroup processGroup)
    {
        Tensor rows = _rows.narrow(0, 0, _seen).clone(), values = _values.narrow(1, 0, _seen).cpu().clone();
        if (!processGroup.IsDistributed)
        {
            return (rows, values);
        }

        Tensor seen = zeros([_images], int64).index_copy_(0, rows, ones_like(rows));
        Tensor all = zeros([Recorded.Length, _images, _exits], float32).index_copy_(1, rows, values);
        processGroup.AllReduceSum(seen);
        processGroup.AllReduceSum(all);
        Tensor whole = seen.nonzero().squeeze(1);
        return (whole, all.index_select(1, whole));
    }

    /// <summary>
    /// The rows of the table, by sample and exit, generated while they are written: ImageNet has millions. Waits for the device.
    /// </summary>
    public IEnumerable<WeightRow> Table(ImageSet images)
    {
        using DisposeScope scope = NewDisposeScope();
        long[] labels = images.Labels.ToArray<long>();
        long[] positions = images.SourceIndices.ToArray<long>();
        float[]? difficulty = images.Difficulty?.ToArray<float>();
        long[] rows = _rows.narrow(0, 0, _seen).ToArray<long>();
        float[][] values = [.. Enumerable.Range(0, Recorded.Length)
            .Select(i => _values.select(0, i).narrow(0, 0, _seen).cpu().contiguous().ToArray<float>())];
        return Enumerable.Range(0, rows.Length)
            .OrderBy(at => positions[rows[at]])
            .SelectMany(at => Enumerable.Range(0, _exits).Select(k => new WeightRow
            {
                Sample = positions[rows[at]],
                Label = labels[rows[at]],
                Difficulty = difficulty?[rows[at]],
                Exit = k + 1,
                Loss = values[0][(at * _exits) + k],
                Confidence = values[1][(at * _exits) + k],
                Weight = values[2][(at * _exits) + k],
            }));
    }
}
