namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>Statistics of the image files that a run reads: anomalies are reported once per file, and counted. Not thread-safe.</summary>
internal sealed class ImageReadStatistics
{
    private const int MaxReported = 100;

    /// <summary>The counted traits of image files, in words.</summary>
    internal static readonly IReadOnlyList<(ImageTraits Trait, string Text)> Counted =
    [
        (ImageTraits.Grey, "grey"), (ImageTraits.Cmyk, "CMYK"), (ImageTraits.Png, "PNG"), (ImageTraits.Webp, "WebP"),
        (ImageTraits.Bmp, "BMP"),
        (ImageTraits.Rotated, "with an Exif rotation, which is not applied"), (ImageTraits.Damaged, "damaged"),
    ];

    private readonly HashSet<string> _told = [];
    private readonly HashSet<string> _unreadable = [];
    private readonly long[] _counts = new long[Counted.Count + 2]; // per trait, then unreadable, then total
    private Action<string> _tell;
    private string _instead = "using a black image instead";

    /// <param name="tell">Receives a line for each image that cannot be read or is damaged.</param>
    public ImageReadStatistics(Action<string> tell) => _tell = tell;

    /// <summary>The files that could not be decoded.</summary>
    public IReadOnlySet<string> Unreadable => _unreadable;

    /// <summary>The number of images that were smaller than the requested size, and so were enlarged.</summary>
    public int Enlarged { get; private set; }

    /// <summary>Redirects further lines.</summary>
    public void RedirectTo(Action<string> tell) => _tell = tell;

    /// <summary>Changes the message for unreadable images: they get no prediction.</summary>
    public void ReportUnanswered() => _instead = "it gets no prediction";

    /// <summary>Changes the message for unreadable images: they do not count.</summary>
    public void ReportSkipped() => _instead = "it is skipped";

    /// <summary>Counts an image that was read.</summary>
    internal void Add(string file, ImageReadOutcome outcome)
    {
        for (int k = 0; k < Counted.Count; k++)
        {
            _counts[k] += outcome.Traits.HasFlag(Counted[k].Trait) ? 1 : 0;
        }

        if (outcome.Problem is not null)
        {
            _counts[^2]++;
            _unreadable.Add(file);
        }

        Enlarged += outcome.IsEnlarged ? 1 : 0;
        _counts[^1]++;
        Report(file, outcome);
    }

    /// <summary>The counts since the last call, int64 <c>[n]</c>: they can be summed over the processes of a run.</summary>
    public Tensor TakeCounts()
    {
        Tensor taken = tensor((long[])_counts.Clone());
        Array.Clear(_counts);
        return taken;
    }

    /// <summary>Describes the counts of <see cref="TakeCounts"/>.</summary>
    /// <param name="taken">int64 <c>[n]</c>.</param>
    public static string Describe(Tensor taken)
    {
        long[] counts = taken.ToArray<long>();
        IEnumerable<string> special = Counted.Select((of, k) => (Count: counts[k], of.Text)).Where(of => of.Count > 0)
            .Select(of => FormattableString.Invariant($", {of.Count:N0} {of.Text}"));
        return FormattableString.Invariant($"{counts[^1]:N0} images read{string.Concat(special)}, {counts[^2]:N0} unreadable");
    }

    private void Report(string file, ImageReadOutcome outcome)
    {
        string? line = outcome switch
        {
            { Problem: { } problem } => $"{file} cannot be read ({problem}); {_instead}",
            _ when outcome.Traits.HasFlag(ImageTraits.Damaged) => $"{file} is damaged; using the part that can be decoded",
            _ => null,
        };
        if (line is null || _told.Count > MaxReported || !_told.Add(file))
        {
            return;
        }

        _tell(_told.Count <= MaxReported ? line : "further such images are only counted");
    }
}

/// <summary>The result of reading an image.</summary>
/// <param name="Traits">Traits of its file.</param>
/// <param name="Problem">Why it cannot be read; null if it can.</param>
/// <param name="IsEnlarged">Whether it is smaller than the requested size, and so was enlarged.</param>
internal readonly record struct ImageReadOutcome(ImageTraits Traits, string? Problem, bool IsEnlarged = false);
