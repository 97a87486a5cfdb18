using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>The calibration target of a policy.</summary>
/// <param name="Macs">The maximum mean number of multiply-adds per sample; null: shares were given.</param>
/// <param name="Q">The q whose exit shares q^k use most of the budget; null if shares were given or no q is within the budget.</param>
/// <param name="Shares">K: the shares requested, chosen for the budget, or of the thresholds found by a search.</param>
/// <param name="Search">What a search for the best thresholds found; null: there was none.</param>
internal sealed record PolicyBudget(
    double? Macs,
    double? Q,
    IReadOnlyList<float> Shares,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] PolicySearch? Search = null);

/// <summary>What a search for the best thresholds achieves where it was fitted and elsewhere, by <see cref="CrossFitting"/>.</summary>
/// <param name="Maximised">The metric: <c>accuracy</c>.</param>
/// <param name="FittedAccuracy">On the half of the images that the thresholds were fitted on.</param>
/// <param name="OtherAccuracy">On the other half.</param>
/// <param name="OtherMeanMacs">Multiply-adds per sample on average, on the other half.</param>
/// <param name="SharesFittedAccuracy">The same as <paramref name="FittedAccuracy"/>, for the geometric shares.</param>
/// <param name="SharesOtherAccuracy">The same as <paramref name="OtherAccuracy"/>, for the geometric shares.</param>
internal sealed record PolicySearch(
    string Maximised,
    double FittedAccuracy,
    double OtherAccuracy,
    double OtherMeanMacs,
    double SharesFittedAccuracy,
    double SharesOtherAccuracy);

/// <summary>How a policy performs on the validation images that it was calibrated on.</summary>
/// <param name="Samples">The number of images.</param>
/// <param name="SplitSha256">The content hash of the set.</param>
/// <param name="Shares">K: the shares of samples that leave at each exit.</param>
/// <param name="Accuracy">Share of correct predictions.</param>
/// <param name="MeanMacs">Multiply-adds per sample on average.</param>
internal sealed record PolicyValidation(long Samples, string SplitSha256, IReadOnlyList<double> Shares, double Accuracy, double MeanMacs);

/// <summary>
/// An exit policy's file (docs/files.md): <c>imta calibrate</c> writes it, <c>imta infer</c> and <c>imta eval</c> read it.
/// </summary>
/// <param name="Policy">The policy, whose own keys stand at the start of the file.</param>
/// <param name="Budget">What it was calibrated to; null: the file does not say.</param>
/// <param name="Validation">How it performs on validation images; null: the file does not say.</param>
/// <param name="Macs">K: multiply-adds of a prediction at each exit.</param>
/// <param name="Dataset">What the network was trained on.</param>
/// <param name="Normalisation">For the network's input.</param>
/// <param name="ClassNames">By label.</param>
/// <param name="CheckpointSha256">The SHA-256 of the checkpoint.</param>
internal sealed record PolicyFile(
    IExitPolicy Policy,
    PolicyBudget? Budget,
    PolicyValidation? Validation,
    IReadOnlyList<long> Macs,
    string Dataset,
    Normalisation Normalisation,
    IReadOnlyList<string> ClassNames,
    string CheckpointSha256)
{
    private const int Version = 1;
    private const int Channels = 3;
    private const double NotableShare = 0.05;

    private static readonly JsonSerializerOptions Layout = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
    };

    /// <summary>The bound on its risk; null: none was requested.</summary>
    public PolicyGuarantee? Guarantee { get; init; }

    /// <summary>Reads a policy for a network.</summary>
    /// <exception cref="UsageException">It cannot be read, is invalid, or is for another kind of network.</exception>
    public static PolicyFile Read(string path, TrainedNetwork network)
    {
        try
        {
            PolicyFile policy = Parse(Directory.Exists(path) ? throw new FormatException("it is a folder") : File.ReadAllText(path));
            return policy.Mismatch(network) is { } mismatch
                ? throw new UsageException($"{path} {mismatch}; create one for this network with imta calibrate")
                : policy;
        }
        catch (Exception e) when (e is FormatException or IOException or UnauthorizedAccessException)
        {
            string problem = Terminal.Sanitize(e.Message.TrimEnd('.'));
            throw new UsageException($"{path} is not a readable policy ({problem}); create one with imta calibrate", e);
        }
    }

    /// <summary>Reads a file's text.</summary>
    /// <exception cref="FormatException">It is invalid.</exception>
    public static PolicyFile Parse(string text)
    {
        PolicySection keys = PolicySection.Parse(text);
        int format = keys.Get<int>("format", $"{Version}");
        _ = format == Version ? 0 : throw new FormatException($"its format is {format}; this version reads format {Version}");
        string kind = keys.Has("kind") ? keys.Get<string>("kind", string.Join(" or ", ExitPolicies.Kinds)) : ThresholdPolicy.Name;
        var policy = new PolicyFile(
            ExitPolicies.Read(kind, keys),
            keys.Has("budget") ? keys.Get<PolicyBudget>("budget", "macs, q and shares") : null,
            keys.Has("validation")
                ? keys.Get<PolicyValidation>("validation", "samples, split_sha256, shares, accuracy and mean_macs")
                : null,
            keys.Get<long[]>("macs", "the multiply-adds of each exit"),
            keys.Get<string>("dataset", "the name of a data set"),
            keys.Get<Normalisation>("normalisation", "mean and std"),
            keys.Get<string[]>("class_names", "the names of all classes"),
            keys.Get<string>("checkpoint_sha256", "64 hexadecimal digits"))
        {
            Guarantee = PolicyGuarantee.Read(keys),
        };
        keys.End();
        return policy;
    }

    /// <summary>A policy's accuracy and cost on a set of images, in words.</summary>
    /// <param name="accuracy">Share of correct predictions.</param>
    /// <param name="meanMacs">Multiply-adds per sample on average.</param>
    public string Describe(double accuracy, double meanMacs) => FormattableString.Invariant(
        $"{100 * accuracy:0.0} % accuracy, {meanMacs:N0} multiply-adds on average, {meanMacs / Macs[^1]:0.00} of the last exit's");

    /// <summary>Says that equal scores, which leave together, kept exits far from the requested shares; null: they did not.</summary>
    public string? TieNote()
    {
        if (this is not { Budget: { Macs: null, Shares: { } asked }, Validation: { } achieved })
        {
            return null;
        }

        IEnumerable<double> quotas = ExitShares.Quotas(asked, achieved.Samples).Select(quota => (double)quota / achieved.Samples);
        return quotas.Zip(achieved.Shares).All(share => Math.Abs(share.First - share.Second) <= NotableShare)
            ? null
            : "many scores are equal, and their samples leave together: "
                + $"the exits take {Percent(achieved.Shares)} % instead of {Percent(asked.Select(share => (double)share))} %";

        static string Percent(IEnumerable<double> shares)
            => string.Join(' ', shares.Select(share => (100 * share).ToString("0.0", CultureInfo.InvariantCulture)));
    }

    /// <summary>Says that the policy was calibrated for a checkpoint other than the network's; null: it was not.</summary>
    public string? CheckpointNote(string path, TrainedNetwork network) => CheckpointSha256 == network.Hash
        ? null
        : $"{path} was calibrated for a different checkpoint than {network.File}; shares and costs will differ from those it states";

    /// <summary>Writes the file.</summary>
    public void Write(string path)
    {
        var keys = new JsonObject { ["format"] = Version };
        if (Policy.Kind != ThresholdPolicy.Name)
        {
            keys["kind"] = Policy.Kind;
        }

        Policy.Write(keys);
        Add("budget", Budget);
        Add(PolicyGuarantee.Key, Guarantee);
        Add("validation", Validation);
        Add("macs", Macs);
        Add("dataset", Dataset);
        Add("normalisation", Normalisation);
        Add("class_names", ClassNames);
        Add("checkpoint_sha256", CheckpointSha256);
        AtomicFile.WriteText(path, keys.ToJsonString(Layout) + "\n");

        void Add<T>(string key, T? value)
        {
            if (value is not null)
            {
                keys.Add(key, JsonSerializer.SerializeToNode(value, Layout));
            }
        }
    }

    private string? Mismatch(TrainedNetwork network)
    {
        (long exits, long classes, string dataset) = (network.Network.Exits, network.Network.Classes, NameOf(network.Settings));
        return this switch
        {
            _ when Policy.Exits is { } own && own != exits => $"is for {own} exits, but the network has {exits}",
            _ when Dataset != dataset => $"is for {Terminal.Sanitize(Dataset)}, but the network is for {dataset}",
            _ when !Macs.SequenceEqual(network.Macs) => "has different multiply-adds than the network",
            _ when ClassNames.Contains(null!) => "has a class without a name",
            _ when ClassNames.Count != classes => $"names {ClassNames.Count} classes, but the network has {classes}",
            _ when !IsPossible(Normalisation) => $"does not have {Channels} finite means and {Channels} positive standard deviations",
            _ => null,
        };
    }

    private static bool IsPossible(Normalisation normalisation)
        => normalisation.Mean.Count == Channels && normalisation.Mean.All(double.IsFinite)
            && normalisation.Std.Count == Channels && normalisation.Std.All(deviation => double.IsFinite(deviation) && deviation > 0);

    /// <summary>A data set's name in files.</summary>
    public static string NameOf(Settings settings) => SettingsSchema.YamlName(settings.Data.Dataset.ToString());
}
