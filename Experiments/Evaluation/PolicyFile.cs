using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Imta.MetaWeight.Allocation;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Experiments.Evaluation;

/// <summary>An exit policy as a JSON file: what <c>imta calibrate</c> writes and <c>imta infer</c> and <c>imta eval</c> read (docs/files.md).</summary>
internal sealed record PolicyFile
{
    private const int Version = 1;
    private const int Channels = 3;

    private static readonly JsonSerializerOptions Layout = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.Never,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        RespectNullableAnnotations = true,
    };

    public required int Format { get; init; }

    public required string Criterion { get; init; }

    /// <summary>K; null: nobody leaves. The last is 0.</summary>
    public required IReadOnlyList<float?> Thresholds { get; init; }

    public required PolicyBudget Budget { get; init; }

    public required PolicyValidation Validation { get; init; }

    /// <summary>K: multiply-adds of an answer at each exit.</summary>
    public required IReadOnlyList<long> Macs { get; init; }

    public required string Dataset { get; init; }

    public required Normalisation Normalisation { get; init; }

    public required IReadOnlyList<string> ClassNames { get; init; }

    public required string CheckpointSha256 { get; init; }

    /// <summary>The policy.</summary>
    [JsonIgnore]
    public ExitPolicy Policy => new(
        ExitCriteria.All.Single(criterion => criterion.Name == Criterion), [.. Thresholds.Select(threshold => threshold ?? BudgetedInference.Never)]);

    /// <summary>Describes a policy that was calibrated.</summary>
    public static PolicyFile Of(ExitPolicy policy, PolicyBudget budget, SetAnswers validation, TrainedNetwork network, Normalisation normalisation)
    {
        using DisposeScope scope = NewDisposeScope();
        Tensor thresholds = tensor(policy.Thresholds.ToArray(), [1, policy.Thresholds.Count]);
        BudgetedOutcome outcome = BudgetedInference.Apply(validation.Scores, validation.Correct, thresholds)[0];
        return new PolicyFile
        {
            Format = Version,
            Criterion = policy.Criterion.Name,
            Thresholds = [.. policy.Thresholds.Select(threshold => TestReport.Threshold(threshold))],
            Budget = budget,
            Validation = new PolicyValidation(outcome.Samples, HashOf(validation.Set), outcome.Shares, outcome.Accuracy, outcome.MeanMacs(network.Macs)),
            Macs = network.Macs,
            Dataset = NameOf(network.Settings),
            Normalisation = normalisation,
            ClassNames = validation.Set.ClassNames,
            CheckpointSha256 = network.Hash(),
        };
    }

    /// <summary>Reads a policy for a network.</summary>
    /// <exception cref="UsageException">It cannot be read, says something impossible, or is for another kind of network.</exception>
    public static PolicyFile Read(string path, TrainedNetwork network)
    {
        PolicyFile policy = Read(path);
        if (Problem(policy, network) is { } problem)
        {
            throw new UsageException($"{path} {problem}; make one for this network with imta calibrate");
        }

        return policy;
    }

    public void Write(string path) => AtomicFile.WriteText(path, JsonSerializer.Serialize(this, Layout) + "\n");

    private static PolicyFile Read(string path)
    {
        try
        {
            return JsonSerializer.Deserialize<PolicyFile>(File.ReadAllText(path), Layout) ?? throw new JsonException("it holds null");
        }
        catch (Exception e) when (e is JsonException or NotSupportedException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"{path} is no policy that can be read ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); imta calibrate writes one", e);
        }
    }

    private static string? Problem(PolicyFile policy, TrainedNetwork network)
    {
        int exits = network.Network.Exits;
        return policy switch
        {
            { Format: not Version } => $"is of policy format {policy.Format}, and this version reads format {Version}",
            _ when ExitCriteria.All.All(known => known.Name != policy.Criterion) => $"names the criterion {Terminal.OneLine(policy.Criterion)}; there is {string.Join(" and ", ExitCriteria.All.Select(known => known.Name))}",
            _ when policy.Thresholds.Count != exits => $"has {policy.Thresholds.Count} thresholds, and the network has {exits} exits",
            _ when policy.Thresholds.Any(threshold => threshold is { } value && !float.IsFinite(value)) => "has a threshold that is no finite number",
            _ when policy.Dataset != NameOf(network.Settings) => $"is for {Terminal.OneLine(policy.Dataset)}, and the network for {NameOf(network.Settings)}",
            _ when !policy.Macs.SequenceEqual(network.Macs) => "counts other multiply-adds than the network",
            _ when policy.ClassNames.Contains(null!) => "has a class without a name",
            _ when policy.ClassNames.Count != network.Network.Classes => $"names {policy.ClassNames.Count} classes, and the network has {network.Network.Classes}",
            _ when !Possible(policy.Normalisation) => $"normalises by no {Channels} means and positive deviations",
            _ => null,
        };
    }

    private static bool Possible(Normalisation normalisation)
        => normalisation.Mean.Count == Channels && normalisation.Mean.All(double.IsFinite)
            && normalisation.Std.Count == Channels && normalisation.Std.All(deviation => double.IsFinite(deviation) && deviation > 0);

    private static string NameOf(Settings settings) => SettingsSchema.YamlName(settings.Data.Dataset.ToString());

    /// <summary>Names a set by what is in it, in its order: SHA-256 of positions, labels and images, or of images that are files their paths below the data set's folder, a line each.</summary>
    private static string HashOf(ImageSet set)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(set.Positions.bytes);
        hash.AppendData(set.Labels.bytes);
        if (set.Files is { } files)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(string.Concat(set.Positions.ToArray<long>().Select(number => files.Names[(int)number] + "\n"))));
        }
        else
        {
            hash.AppendData(set.Images.bytes);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}

/// <summary>What a policy was calibrated to.</summary>
/// <param name="Macs">Multiply-adds of a sample on average, at most; null: shares were given.</param>
/// <param name="Q">The exit shares q^k that take the most of them; null: shares were given, or no q was within the budget.</param>
/// <param name="Shares">K: the shares that were asked for.</param>
internal sealed record PolicyBudget(double? Macs, double? Q, IReadOnlyList<float> Shares);

/// <summary>What a policy does on the held-out images that it was calibrated by.</summary>
/// <param name="Samples">How many.</param>
/// <param name="SplitSha256">Which, by content.</param>
/// <param name="Shares">K: of samples that leave at each exit.</param>
/// <param name="Accuracy">Share of right answers.</param>
/// <param name="MeanMacs">Multiply-adds of a sample on average.</param>
internal sealed record PolicyValidation(long Samples, string SplitSha256, IReadOnlyList<double> Shares, double Accuracy, double MeanMacs);
