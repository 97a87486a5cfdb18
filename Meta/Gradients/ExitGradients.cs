namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// The gradients of all exits, parameter by parameter: for each parameter a matrix with a row for every exit whose loss reaches it. Tensors
/// belong to the dispose scope in which the object was made.
/// </summary>
/// <remarks>Shapes: <c>K</c> exits, of which <c>R</c> reach a parameter of <c>n</c> elements.</remarks>
public sealed class ExitGradients
{
    private readonly ParameterRows[] _parameters;

    /// <summary>From the gradient of each exit.</summary>
    /// <param name="byExit">
    /// K lists with one tensor for each parameter; null: the exit's loss does not reach it. Ownership of the tensors is transferred.
    /// </param>
    public ExitGradients(IReadOnlyList<IReadOnlyList<Tensor?>> byExit)
    {
        Exits = byExit.Count;
        _parameters =
        [
            .. Enumerable.Range(0, byExit[0].Count).Select(p => ParameterRows.Take([.. byExit.Select(gradient => gradient[p])])),
        ];
    }

    /// <summary>K.</summary>
    public int Exits { get; }

    /// <summary>∇_θ ⟨cotangent_k, l_k⟩ of every exit k, by K backward passes, each from exit k alone.</summary>
    /// <param name="forward">The pass at θ.</param>
    /// <param name="cotangent"><c>[N, K]</c>.</param>
    public static ExitGradients Compute(IForward forward, Tensor cotangent)
        => new([.. Enumerable.Range(0, (int)cotangent.shape[1]).Select(k => forward.ExitGradient(cotangent, k))]);

    /// <summary>⟨g_k, g_j⟩ over all parameters, <c>[K, K]</c>: products in each parameter's own type, summed in float64.</summary>
    public double[,] Gram()
    {
        using DisposeScope scope = NewDisposeScope();
        using IDisposable noGrad = no_grad();
        var gram = new double[Exits, Exits];
        ParameterRows[] reached = [.. _parameters.Where(parameter => parameter.Exits.Length > 0)];
        if (reached.Length == 0)
        {
            return gram;
        }

        // One transfer for all parameters: on a GPU each transfer waits for the device.
        Tensor products = cat([.. reached.Select(parameter => parameter.Rows!.mm(parameter.Rows!.t()).flatten())]);
        double[] values = products.to_type(float64).cpu().data<double>().ToArray();
        int at = 0;
        foreach (ParameterRows parameter in reached)
        {
            foreach (int k in parameter.Exits)
            {
                foreach (int j in parameter.Exits)
                {
                    gram[k, j] += values[at++];
                }
            }
        }

        return gram;
    }

    /// <summary>|g_k| over all parameters, K numbers: from the diagonal of the Gram matrix.</summary>
    public double[] Norms()
    {
        double[,] gram = Gram();
        return [.. Enumerable.Range(0, Exits).Select(k => Math.Sqrt(gram[k, k]))];
    }

    /// <summary>Σ_k a_k g_k, one tensor for each parameter; null where no loss reaches it.</summary>
    /// <param name="coefficients">a, K numbers.</param>
    public IReadOnlyList<Tensor?> Sum(IReadOnlyList<double> coefficients)
    {
        using IDisposable noGrad = no_grad();
        return [.. _parameters.Select(parameter => parameter.Sum(coefficients))];
    }

    /// <param name="Exits">The exits that reach a parameter, R numbers.</param>
    /// <param name="Rows">Their gradients <c>[R, n]</c>; null if R is 0.</param>
    /// <param name="Shape">The parameter's shape.</param>
    private sealed record ParameterRows(int[] Exits, Tensor? Rows, long[] Shape)
    {
        public static ParameterRows Take(Tensor?[] gradients)
        {
            int[] exits = [.. Enumerable.Range(0, gradients.Length).Where(k => gradients[k] is not null)];
            if (exits.Length == 0)
            {
                return new ParameterRows([], null, []);
            }

            long[] shape = gradients[exits[0]]!.shape;
            using DisposeScope scope = NewDisposeScope();
            Tensor rows = stack([.. exits.Select(k => gradients[k]!.reshape(-1))]).MoveToOuterDisposeScope();
            Array.ForEach(exits, k => gradients[k]!.Dispose());
            return new ParameterRows(exits, rows, shape);
        }

        public Tensor? Sum(IReadOnlyList<double> coefficients)
        {
            if (Rows is null)
            {
                return null;
            }

            using DisposeScope scope = NewDisposeScope();
            Tensor own = tensor(Exits.Select(k => coefficients[k]).ToArray()).to(Rows.dtype, Rows.device); // [R]
            return own.matmul(Rows).reshape(Shape).MoveToOuterDisposeScope();
        }
    }
}
