namespace Imta.MetaWeight.Experiments.Data.Pictures;

/// <summary>What is special about the pictures that a run reads: told once for each that is not as its file should be, and counted. For one thread.</summary>
internal sealed class PictureTally
{
    private const int MostTold = 100;

    /// <summary>What may be special about pictures, in words.</summary>
    internal static readonly IReadOnlyList<(PictureTraits Trait, string Text)> Counted =
    [
        (PictureTraits.Grey, "grey"), (PictureTraits.Cmyk, "CMYK"), (PictureTraits.Png, "PNG"), (PictureTraits.Rotated, "with a turn in their Exif data, which is not applied"), (PictureTraits.Damaged, "damaged"),
    ];

    private readonly HashSet<string> _told = [];
    private readonly HashSet<string> _unreadable = [];
    private readonly long[] _counts = new long[Counted.Count + 2]; // of each trait, unreadable, all
    private Action<string> _tell;
    private string _instead = "a black picture stands for it";

    /// <param name="tell">Takes a line for each picture that cannot be read or is damaged.</param>
    public PictureTally(Action<string> tell) => _tell = tell;

    /// <summary>The files that could not be read.</summary>
    public IReadOnlySet<string> Unreadable => _unreadable;

    /// <summary>Lines go here from now on.</summary>
    public void TellTo(Action<string> tell) => _tell = tell;

    /// <summary>Tells that pictures which cannot be read get no answer.</summary>
    public void TellOfAnswers() => _instead = "it gets no answer";

    /// <summary>Counts a picture that was read.</summary>
    internal void Add(string file, PictureOutcome outcome)
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

        _counts[^1]++;
        Tell(file, outcome);
    }

    /// <summary>The counts since the last call, int64 <c>[n]</c>: of the processes of a run they may be summed.</summary>
    public Tensor Take()
    {
        Tensor taken = tensor((long[])_counts.Clone());
        Array.Clear(_counts);
        return taken;
    }

    /// <summary>What <see cref="Take"/> counted, in words.</summary>
    /// <param name="taken">int64 <c>[n]</c>.</param>
    public static string Describe(Tensor taken)
    {
        long[] counts = taken.ToArray<long>();
        IEnumerable<string> special = Counted.Select((of, k) => (Count: counts[k], of.Text)).Where(of => of.Count > 0).Select(of => FormattableString.Invariant($", {of.Count:N0} {of.Text}"));
        return FormattableString.Invariant($"{counts[^1]:N0} pictures read{string.Concat(special)}, {counts[^2]:N0} unreadable");
    }

    private void Tell(string file, PictureOutcome outcome)
    {
        string? line = outcome switch
        {
            { Problem: { } problem } => $"{file} cannot be read ({problem}); {_instead}",
            _ when outcome.Traits.HasFlag(PictureTraits.Damaged) => $"{file} is damaged; it is used as far as it goes",
            _ => null,
        };
        if (line is null || _told.Count > MostTold || !_told.Add(file))
        {
            return;
        }

        _tell(_told.Count <= MostTold ? line : "more such pictures are only counted");
    }
}

/// <summary>What became of a picture.</summary>
/// <param name="Traits">What is special about its file.</param>
/// <param name="Problem">Why it cannot be read; null: it can.</param>
internal readonly record struct PictureOutcome(PictureTraits Traits, string? Problem);
