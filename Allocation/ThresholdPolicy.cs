using System.Text.Json.Nodes;

namespace Imta.MetaWeight.Allocation;

/// <summary>A sample leaves at the first exit whose score reaches the exit's threshold (MSDNet, L2W-DEN, IMTA).</summary>
/// <param name="Criterion">The score, in [0, 1].</param>
/// <param name="Thresholds">K thresholds: with one above 1 no sample leaves, with one of 0 or below every sample does.</param>
public sealed record ThresholdPolicy(IExitCriterion Criterion, IReadOnlyList<float> Thresholds) : IExitPolicy
{
    /// <inheritdoc cref="IExitPolicy.Kind"/>
    public const string Name = "thresholds";

    /// <inheritdoc/>
    public string Kind => Name;

    /// <inheritdoc/>
    public int? Exits => Thresholds.Count;

    /// <summary>Reads the keys <c>criterion</c> and <c>thresholds</c> of a policy file.</summary>
    /// <exception cref="FormatException">They are missing or invalid.</exception>
    public static ThresholdPolicy Read(PolicySection section)
    {
        string names = string.Join(" or ", ExitCriteria.All.Select(known => known.Name)), name = section.Get<string>("criterion", names);
        float?[] thresholds = section.Get<float?[]>("thresholds", "a number or null per exit");
        IExitCriterion criterion = ExitCriteria.All.FirstOrDefault(known => known.Name == name)
            ?? throw new FormatException($"criterion is {name}; expected {names}");
        return thresholds.All(threshold => threshold is null || float.IsFinite(threshold.Value))
            ? new ThresholdPolicy(criterion, [.. thresholds.Select(threshold => threshold ?? BudgetedInference.Never)])
            : throw new FormatException("a threshold is NaN or infinite");
    }

    /// <summary>A threshold as in files: null where no sample leaves, 0 where every sample does.</summary>
    public static float? InFile(float threshold) => threshold switch
    {
        BudgetedInference.Never => null,
        BudgetedInference.Always => 0,
        _ => threshold,
    };

    /// <inheritdoc/>
    public Tensor Leaves(Tensor scores)
    {
        using DisposeScope scope = NewDisposeScope();
        int exit = (int)scores.shape[1] - 1;
        return scope.MoveToOuter(scores.select(1, exit).ge(Held(Thresholds[exit])));
    }

    /// <inheritdoc/>
    public void Write(JsonObject section)
    {
        section["criterion"] = Criterion.Name;
        section["thresholds"] = new JsonArray([.. Thresholds.Select(threshold => (JsonNode?)InFile(threshold))]);
    }
}
