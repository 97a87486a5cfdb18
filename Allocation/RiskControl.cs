namespace Imta.MetaWeight.Allocation;

/// <summary>How a threshold is chosen so that its risk is at most ε.</summary>
public enum RiskControlMethod
{
    /// <summary>Conformal risk control: in expectation over calibration sets.</summary>
    Crc,

    /// <summary>Upper confidence bounds (<see cref="BettingBound"/>): with probability 1 − δ over calibration sets.</summary>
    Ucb,

    /// <summary>Learn then Test (<see cref="LearnThenTest"/>): with probability 1 − δ over calibration sets.</summary>
    Ltt,
}

/// <summary>The requested guarantee.</summary>
/// <param name="Risk">The risk.</param>
/// <param name="Epsilon">ε, in (0, 1).</param>
/// <param name="Delta">δ, in (0, 1); null: the risk is at most ε in expectation.</param>
/// <param name="Method">Crc without a δ, else one of the others.</param>
public sealed record RiskTarget(ExitRisk Risk, double Epsilon, double? Delta, RiskControlMethod Method);

/// <summary>The threshold that was found.</summary>
/// <param name="Index">Its index in the grid; 0: nothing leaves early.</param>
/// <param name="Risk">The mean loss on the calibration samples.</param>
/// <param name="Bound">The method's upper bound on the risk, at most ε; 0 where nothing leaves early, which loses nothing.</param>
public sealed record ControlledThreshold(int Index, double Risk, double Bound);

/// <summary>
/// Thresholds with a bounded risk (Jazbec et al., "Fast yet Safe: Early-Exiting with Risk Control", NeurIPS 2024). Thresholds fall along
/// a grid that starts at 1, where nothing leaves early and the loss is 0: the answer if no other threshold is certified.
/// </summary>
/// <remarks>
/// Conformal control assumes that calibration samples and later ones are exchangeable, the other methods that calibration samples are
/// independent draws from the distribution whose risk they bound. Shapes: <c>n</c> calibration samples, <c>G</c>
/// thresholds.
/// </remarks>
public static class RiskControl
{
    /// <summary>Chooses a threshold of a grid by the target's method.</summary>
    /// <param name="target">The guarantee.</param>
    /// <param name="thresholds">G.</param>
    /// <param name="losses">The n losses at a threshold of the grid, 0 … G − 1, in an order that does not depend on them.</param>
    public static ControlledThreshold Choose(RiskTarget target, int thresholds, Func<int, double[]> losses)
    {
        (double most, double epsilon, double delta) = (target.Risk.Bound, target.Epsilon, target.Delta ?? double.NaN);
        if (target.Method == RiskControlMethod.Crc)
        {
            double[] risks = MonotoneRisks(thresholds, losses, out int samples);
            int chosen = Conformal(risks, samples, most, epsilon);
            return Found(chosen, () => Inflated(risks[chosen], samples, most));
        }

        // The bound is below ε where betting against ε succeeds, so no root has to be found at each threshold.
        int last = LearnThenTest.FixedSequence(thresholds, target.Method == RiskControlMethod.Ucb
            ? at => new BettingBound(losses(at), delta, most).LogCapital(epsilon) > 0
            : at => PValue(target.Risk, losses(at), epsilon) <= delta);
        return Found(last, () => target.Method == RiskControlMethod.Ucb
            ? new BettingBound(losses(last), delta, most).UpperBound()
            : UpperBound(target.Risk, losses(last), delta));

        ControlledThreshold Found(int index, Func<double> bound)
            => index > 0 ? new ControlledThreshold(index, losses(index).Average(), bound()) : new ControlledThreshold(0, 0, 0);
    }

    /// <summary>
    /// Conformal risk control (Angelopoulos et al., ICLR 2024, theorem 1): the last threshold with n/(n + 1) R + B/(n + 1) ≤ ε, else the
    /// first. If each sample's loss never falls along the grid, the expected loss of a new sample is at most ε.
    /// </summary>
    /// <param name="risks">R, G mean losses.</param>
    /// <param name="samples">n.</param>
    /// <param name="most">B, the largest possible loss.</param>
    /// <param name="epsilon">ε.</param>
    public static int Conformal(IReadOnlyList<double> risks, int samples, double most, double epsilon)
        => Enumerable.Range(0, risks.Count).LastOrDefault(at => Inflated(risks[at], samples, most) <= epsilon);

    /// <summary>
    /// G means of each sample's largest loss so far: <see cref="Conformal"/> needs losses that never fall. The true losses may fall, since
    /// leaving earlier may correct an answer; they are never larger.
    /// </summary>
    /// <param name="thresholds">G.</param>
    /// <param name="losses">The n losses at a threshold, 0 … G − 1.</param>
    /// <param name="samples">n.</param>
    public static double[] MonotoneRisks(int thresholds, Func<int, double[]> losses, out int samples)
    {
        double[] largest = [.. losses(0)];
        var risks = new double[thresholds];
        for (int at = 0; at < thresholds; at++)
        {
            double[] own = losses(at);
            for (int i = 0; i < own.Length; i++)
            {
                largest[i] = Math.Max(largest[i], own[i]);
            }

            risks[at] = largest.Average();
        }

        samples = largest.Length;
        return risks;
    }

    /// <summary>
    /// The p-value of "the risk is above ε", from the positive parts of the losses, whose mean is at least as large: binomial for 0/1
    /// losses, Hoeffding-Bentkus for others, with losses and ε divided by the losses' bound B to lie in [0, 1].
    /// </summary>
    /// <param name="risk">The risk.</param>
    /// <param name="losses">n losses.</param>
    /// <param name="epsilon">ε.</param>
    public static double PValue(ExitRisk risk, double[] losses, double epsilon) => risk.IsBinary
        ? LearnThenTest.Binomial(losses.Count(loss => loss > 0), losses.Length, epsilon)
        : LearnThenTest.HoeffdingBentkus(losses.Sum(Positive) / risk.Bound, losses.Length, epsilon / risk.Bound);

    private static double UpperBound(ExitRisk risk, double[] losses, double delta)
        => risk.Bound * LearnThenTest.UpperBound(epsilon => PValue(risk, losses, epsilon * risk.Bound), delta);

    private static double Inflated(double risk, int samples, double most) => ((samples * risk) + most) / (samples + 1);

    private static double Positive(double loss) => Math.Max(loss, 0);
}
