using System.ComponentModel;
using Imta.MetaWeight.Backbones;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>In which order an exit's gradient is projected away from those of the others.</summary>
public enum ProjectionOrder
{
    /// <summary>A new random order for each exit in each step (the paper).</summary>
    Random,

    /// <summary>The order of the exits, as in the paper's own code.</summary>
    Fixed,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Settings of <see cref="PcGrad"/>.</summary>
public sealed record PcGradOptions
{
    [Description("Order in which an exit's gradient is projected: a new random one for each exit and step (the paper), or the exits' own")]
    public ProjectionOrder Order { get; init; } = ProjectionOrder.Random;
}

#pragma warning restore CS1591

/// <summary>
/// PCGrad (Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, algorithm 1): each exit's gradient loses in turn its
/// component against every other exit's gradient that it conflicts with, and the results are summed.
/// </summary>
/// <param name="random">
/// A generator for each step, counted from 0, that draws the orders; null: exits in their own order.
/// </param>
public sealed class PcGrad(Func<long, Generator>? random = null) : GramCombination
{
    private const string Steps = "steps";

    private long _steps;

    /// <summary>The number of steps so far, which determines the next orders; empty with a fixed order.</summary>
    public override StateTree State => random is null
        ? new StateTree()
        : new StateTree { Groups = { [IGradientCombination.StateGroup] = new StateTree { Numbers = { [Steps] = _steps } } } };

    /// <summary>
    /// Row i holds the coefficients of v_i, exit i's gradient after its projections: v_i ← g_i, then for each j ≠ i in i's order, if
    /// ⟨v_i, g_j⟩ &lt; 0, v_i ← v_i − ⟨v_i, g_j⟩/|g_j|² · g_j. <c>[K, K]</c>
    /// </summary>
    /// <param name="gram">⟨g_k, g_j⟩ <c>[K, K]</c>.</param>
    /// <param name="orders">For each of the K exits, an order of the K exits; the exit itself is skipped.</param>
    public static double[,] Projections(double[,] gram, IReadOnlyList<IReadOnlyList<int>> orders)
    {
        int exits = gram.GetLength(0);
        var projected = new double[exits, exits];
        for (int i = 0; i < exits; i++)
        {
            projected[i, i] = 1;
            foreach (int j in orders[i].Where(j => j != i))
            {
                double product = Enumerable.Range(0, exits).Sum(k => projected[i, k] * gram[k, j]); // ⟨v_i, g_j⟩
                if (product < 0 && gram[j, j] > 0) // in float32 a square may underflow where a product does not
                {
                    projected[i, j] -= product / gram[j, j];
                }
            }
        }

        return projected;
    }

    /// <inheritdoc/>
    public override void LoadState(StateTree state)
        => _steps = random is null ? 0 : state.Group(IGradientCombination.StateGroup).WholeNumber(Steps);

    /// <inheritdoc/>
    protected override double[] Coefficients(double[,] gram)
    {
        int exits = gram.GetLength(0);
        double[,] projected = Projections(gram, Orders(exits));
        return [.. Enumerable.Range(0, exits).Select(k => Enumerable.Range(0, exits).Sum(i => projected[i, k]))];
    }

    private int[][] Orders(int exits)
    {
        if (random is null)
        {
            return [.. Enumerable.Repeat(Enumerable.Range(0, exits).ToArray(), exits)];
        }

        using DisposeScope scope = NewDisposeScope();
        using Generator generator = random(_steps++);
        return
        [
            .. Enumerable.Range(0, exits)
                .Select(_ => Array.ConvertAll(randperm(exits, int64, generator: generator).data<long>().ToArray(), exit => (int)exit)),
        ];
    }
}
