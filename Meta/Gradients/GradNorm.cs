using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Diagnostics;

namespace Imta.MetaWeight.Meta.Gradients;

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Settings of <see cref="GradNorm"/>.</summary>
public sealed record GradNormOptions
{
    [Description("Strength with which exits whose losses have fallen less get larger gradients; 0: weighted gradients of equal norm")]
    [Range(0.0, 100.0)]
    public double Alpha { get; init; } = 1.5;

    [Description("Learning rate of the weights' logits, constant over all epochs")]
    [Range(0.0, double.MaxValue, MinimumIsExclusive = true)]
    public double Rate { get; init; } = 0.025;
}

#pragma warning restore CS1591

/// <summary>
/// GradNorm (Chen et al., ICML 2018, algorithm 1) in LibMTL's form: v = K·softmax(s), and s follows plain gradient descent on
/// Σ_k |G_k − c_k| with G_k = v_k|g_k| and, held constant, c_k = mean(G)·(f_k/mean(f))^α, f_k = l_k/l_k[0] with the first step's losses
/// l[0]. The paper learns v itself and scales it to a sum of K.
/// </summary>
/// <remarks>
/// Norms are over all parameters, including heads (the paper: those of the last layer that all tasks share); with several processes, they
/// are means of the norms of each process's gradients.
/// </remarks>
/// <param name="options">α, and the learning rate of s.</param>
public sealed class GradNorm(GradNormOptions options) : LossWeighting
{
    private const string Logits = "logits", First = "first_losses";

    /// <summary>K·softmax(s).</summary>
    public static Tensor WeightsAt(Tensor s) => s.softmax(0).mul(Held(s.size(0)));

    /// <summary>The objective's gradient with respect to s: σ_k G_k − softmax(s)_k Σ_j σ_j G_j, where σ = sign(G − c).</summary>
    /// <param name="s">The logits.</param>
    /// <param name="fallen">f.</param>
    /// <param name="norms">|g_k|.</param>
    /// <param name="alpha">α.</param>
    public static Tensor Slope(Tensor s, Tensor fallen, Tensor norms, double alpha)
    {
        Tensor weighted = WeightsAt(s).mul(norms); // G
        Tensor target = fallen.div(fallen.mean()).pow(Held(alpha)).mul(weighted.mean()); // c
        Tensor signed = weighted.sub(target).sign().mul(weighted);
        return signed.sub(s.softmax(0).mul(signed.sum()));
    }

    /// <inheritdoc/>
    public override Tensor Weights(Tensor losses) => WeightsAt(LogitsLike(losses));

    /// <inheritdoc/>
    protected override IReadOnlyList<Tensor?> Direction(IForward forward, Tensor cotangent, Tensor losses, Averaging? averaging)
    {
        ExitGradients gradients = ExitGradients.Compute(forward, cotangent);
        using Activity? phase = StepPhases.Start(StepPhases.Combination);
        Tensor norms = averaging.Mean([tensor(gradients.Norms(), device: losses.device)], cotangent.size(0))[0]!;
        double[] weights = Weights(losses).cpu().data<double>().ToArray();
        Learn(losses, norms);
        return gradients.Sum(weights);
    }

    private Tensor LogitsLike(Tensor losses) => Kept(Logits) ?? zeros_like(losses);

    private void Learn(Tensor losses, Tensor norms)
    {
        Tensor s = LogitsLike(losses), first = Kept(First) ?? losses;
        Keep(Logits, s.add(Slope(s, losses.div(first), norms, options.Alpha), Held(-options.Rate)));
        if (Kept(First) is null)
        {
            Keep(First, losses);
        }
    }
}
