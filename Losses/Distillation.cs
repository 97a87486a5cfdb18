namespace Imta.MetaWeight.Losses;

/// <summary>
/// One-for-all distillation (IMTA, section 3.3): the exits before the last learn from the labels and from a teacher, by default the last
/// exit, softened with temperature T: l_ik = α·ce_ik + (1 − α)·T²·KL(p(teacher/T) ‖ p(z_ik/T)) for k &lt; K, and l_iK = ce_iK.
/// </summary>
/// <remarks>Shapes: <c>N</c> samples, <c>K</c> exits, <c>C</c> classes.</remarks>
internal static class Distillation
{
    /// <summary>The losses <c>[N, K]</c>, with autograd history.</summary>
    /// <param name="options">α, T, and whether the divergence is divided by C.</param>
    /// <param name="losses">The label losses <c>[N, K]</c>.</param>
    /// <param name="logits">K × <c>[N, C]</c>.</param>
    /// <param name="teacher"><c>[N, C]</c>; no gradient flows into it.</param>
    public static Tensor Apply(DistillationOptions options, Tensor losses, IReadOnlyList<Tensor> logits, Tensor teacher)
    {
        int students = logits.Count - 1;
        if (students == 0)
        {
            return losses;
        }

        double classes = options.Reduction == DistillationReduction.ElementMean ? teacher.shape[1] : 1;
        double factor = (1 - options.Alpha) * options.Temperature * options.Temperature / classes;
        Tensor divergence = Divergence([.. logits.Take(students)], teacher.detach(), options.Temperature); // [N, K − 1]
        Tensor ofStudents = losses.narrow(1, 0, students).mul(Held(options.Alpha)).add(divergence.mul(Held(factor)), One);
        return cat([ofStudents, losses.narrow(1, students, 1)], 1);
    }

    /// <summary>KL(p(teacher/T) ‖ p(z/T)) <c>[N, K − 1]</c>.</summary>
    private static Tensor Divergence(Tensor[] students, Tensor teacher, double temperature)
    {
        Tensor soft = CrossEntropy.LogProbabilities([.. students.Select(z => z.div(Held(temperature)))]); // [N, K − 1, C]
        Tensor target = teacher.div(Held(temperature)).log_softmax(1).unsqueeze(1); // [N, 1, C]
        return target.exp().mul(target.sub(soft)).sum([2]);
    }
}
