using Imta.MetaWeight.Experiments.Runs;

namespace Imta.MetaWeight.Experiments.Reports;

/// <summary>The predictions of K exits for N test images, from <c>predictions.csv</c>; sorted by image, exits from 0.</summary>
internal sealed class TestAnswers
{
    private readonly long[] _labels; // N
    private readonly long[] _answers; // N × K
    private readonly float[] _confidence; // N × K

    /// <param name="rows">The rows of the test images, the same number for every exit.</param>
    /// <param name="file">Their file, for the message.</param>
    /// <exception cref="UsageException">An image lacks an exit, or has one twice.</exception>
    public TestAnswers(IEnumerable<PredictionRow> rows, string file)
    {
        PredictionRow[] sorted = [.. rows.OrderBy(row => row.Sample).ThenBy(row => row.Exit)];
        Exits = sorted.Select(row => row.Exit).DefaultIfEmpty().Max();
        int wrong = Array.FindIndex([.. sorted.Index()], at
            => at.Item.Exit != (at.Index % Exits) + 1 || at.Item.Sample != sorted[at.Index - (at.Index % Exits)].Sample);
        if (wrong >= 0)
        {
            throw new UsageException(FormattableString.Invariant(
                $"{file} is incomplete: test image {sorted[wrong - (wrong % Exits)].Sample} does not have one row per exit; ")
                + "copy the complete file, or write it again with imta eval");
        }

        Images = Exits == 0 ? 0 : sorted.Length / Exits;
        _labels = [.. sorted.Where(row => row.Exit == 1).Select(row => row.Label)];
        _answers = [.. sorted.Select(row => row.Prediction)];
        _confidence = [.. sorted.Select(row => row.Confidence)];
    }

    /// <summary>N.</summary>
    public int Images { get; }

    /// <summary>K; 0 without images.</summary>
    public int Exits { get; }

    /// <summary>The class of an image.</summary>
    public long Label(int image) => _labels[image];

    /// <summary>The class that an exit predicts.</summary>
    public long Answer(int image, int exit) => _answers[(image * Exits) + exit];

    /// <summary>The softmax probability of that class.</summary>
    public float Confidence(int image, int exit) => _confidence[(image * Exits) + exit];

    /// <summary>Whether an exit's prediction is the image's class.</summary>
    public bool IsCorrect(int image, int exit) => Answer(image, exit) == Label(image);
}
