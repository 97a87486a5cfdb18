using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Experiments.Training.Checks;

/// <summary>Estimates the bytes that a run will still write.</summary>
/// <param name="Checkpoint">Bytes of a checkpoint.</param>
/// <param name="WeightsFile">Bytes of a file of sample weights.</param>
/// <param name="Exits">The number of exits K.</param>
internal sealed record DiskEstimate(long Checkpoint, long WeightsFile, int Exits)
{
    private const long SmallFiles = 16 * ByteSize.Kib; // config.yaml, environment.json, cost.csv, anytime.csv
    private const long ConcurrentCheckpoints = 4; // checkpoints: the latest, the previous, the best, and the one being written
    private const long BytesPerLine = 200; // of a table or the log
    private const long BytesPerNumber = 10; // a float32 in a table, such as 0.98585325
    private const long BytesPerTensorEntry = 420; // a tensor's name and offset in a checkpoint, including padding

    /// <summary>Bytes of the logits that are written at the end.</summary>
    public long Logits { get; init; }

    public static DiskEstimate BytesFrom(MultiExitNetwork network, ISampleWeighting weighting, RunData data, Settings settings)
        => new(CheckpointBytes(network, weighting, settings), WeightsFileBytes(data, network.Exits), network.Exits)
        {
            Logits = LogitBytes(network, data, settings),
        };

    /// <summary>Bytes of <c>logits.safetensors</c>, also held in memory; 0 if it is not written.</summary>
    public static long LogitBytes(MultiExitNetwork network, RunData data, Settings settings) => settings.Export.Logits
        ? (long)(data.Validation.Count + data.Test.Count) * network.Exits * network.Classes * sizeof(float)
        : 0;

    /// <summary>The bytes still to be written after an epoch.</summary>
    /// <param name="done">Epochs done; after the first, checkpoints exist, and the next is written beside them.</param>
    /// <param name="epochs">Epochs in total.</param>
    /// <param name="weightsEvery"><c>export.weightsEvery</c>.</param>
    /// <param name="checkpointEvery"><c>run.checkpointEvery</c>.</param>
    public long After(int done, int epochs, int weightsEvery, int checkpointEvery = 0)
    {
        long left = epochs - done;
        long weightFiles = weightsEvery == 0
            ? Math.Sign(left)
            : Math.Sign(left) + ((epochs - 1) / weightsEvery) - (Math.Min(done, epochs - 1) / weightsEvery);
        long kept = checkpointEvery == 0 ? 0 : (epochs / checkpointEvery) - (done / checkpointEvery);
        return (((left == 0 ? 0 : done == 0 ? ConcurrentCheckpoints : 1) + kept) * Checkpoint) + (weightFiles * WeightsFile)
            + (left * (Exits + 2) * BytesPerLine) + SmallFiles + Logits;
    }

    private static long CheckpointBytes(MultiExitNetwork network, ISampleWeighting weighting, Settings settings)
    {
        int copies = (settings.Train.Momentum != 0 ? 1 : 0)
            + (settings.Modifiers.MetaGf is { Enabled: true } own ? own.StateCopies(network.Exits) : 0);
        Tensor[] backbone = [.. network.state_dict().Values, .. Enumerable.Repeat(network.Parameters, copies).SelectMany(all => all)];
        Tensor[] ofWeighting = [.. weighting.Parameters, .. weighting.Parameters, .. weighting.Parameters]; // and Adam's two moments
        return backbone.Concat(ofWeighting).Sum(tensor => (tensor.numel() * tensor.element_size()) + BytesPerTensorEntry);
    }

    private static long WeightsFileBytes(RunData data, int exits)
    {
        using DisposeScope scope = NewDisposeScope();
        long digits = $"{data.Train.SourceIndices.max().item<long>()}".Length + $"{data.Classes - 1}".Length + $"{exits}".Length;
        long floats = data.Train.Difficulty is null ? 3 : 4;
        return (long)data.Train.Count * exits * (digits + (floats * BytesPerNumber) + 7); // 7 separators and line breaks
    }
}

/// <summary>Checks that the run's files fit on the drive.</summary>
internal static class DiskCheck
{
    /// <param name="need">Bytes that the run will still write.</param>
    /// <param name="free">Free bytes of the run folder's drive.</param>
    /// <param name="weightsEvery"><c>export.weightsEvery</c>.</param>
    public static IEnumerable<CheckFinding> Findings(long need, long free, int weightsEvery)
    {
        string less = weightsEvery == 0
            ? ""
            : FormattableString.Invariant($", or set export.weightsEvery (now {weightsEvery}) to a larger value or to 0");
        if (need > free / 2)
        {
            yield return new CheckFinding(
                CheckName.Disk,
                need > free ? Severity.Error : Severity.Warning,
                $"the run's files need about {ByteSize.Text(need)}, but the drive has {ByteSize.Text(free)} free",
                need > free ? "the run would fail when the drive is full" : "other programs may use up the rest before the run ends",
                $"free some space, or use a folder on another drive with --out{less}");
        }
    }
}
