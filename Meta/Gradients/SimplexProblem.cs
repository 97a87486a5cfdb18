using MathNet.Numerics.LinearAlgebra;

namespace Imta.MetaWeight.Meta.Gradients;

/// <summary>
/// CAGrad's inner problem: F(w) = ⟨b, w⟩ + s √(wᵀMw) over the simplex, M the Gram matrix, b = M·1/K, s = c|g_0|. It is convex. Newton steps
/// within a face of the simplex lead to the face's minimum or to its border, where an exit drops out; at the minimum of a face, the exit
/// with the most negative multiplier enters. So w is accurate, and its zeros are exact.
/// </summary>
internal sealed class SimplexProblem
{
    private const int MaxStepsPerExit = 60;

    private readonly Matrix<double> _gram; // M, scaled so that its largest diagonal element is 1
    private readonly Vector<double> _linear; // b
    private readonly double _slope; // s

    public SimplexProblem(double[,] gram, double scale, double c)
    {
        _gram = Matrix<double>.Build.DenseOfArray(gram) / scale;
        Vector<double> uniform = Uniform();
        _linear = _gram * uniform;
        _slope = c * Math.Sqrt(Math.Max(0, uniform * _linear));
    }

    private int Exits => _gram.RowCount;

    /// <summary>wᵀMw.</summary>
    public double SquaredNorm(IEnumerable<double> weights) => SquaredNorm(Vector<double>.Build.DenseOfEnumerable(weights));

    /// <summary>w.</summary>
    public double[] Minimise()
    {
        Vector<double> w = Uniform();
        List<int> face = [.. Enumerable.Range(0, Exits)];
        double before = double.PositiveInfinity;
        for (int step = 0; step < MaxStepsPerExit * Exits && SquaredNorm(w) > double.Epsilon; step++)
        {
            Vector<double> slope = Gradient(w), change = NewtonStep(w, slope, face);
            double decrement = -(slope * change), size = change.AbsoluteMaximum();
            int? leaving = Move(w, change, decrement);
            bool isMinimum = leaving is null && (size <= 1e-12 || decrement <= 1e-18 * Math.Abs(slope * w)
                || (size < 1e-6 && size >= before));
            before = leaving is null ? size : double.PositiveInfinity;
            if (leaving is { } exit)
            {
                face.Remove(exit);
            }
            else if (isMinimum)
            {
                if (Entering(w, face) is not { } entering)
                {
                    break;
                }

                face.Add(entering);
                before = double.PositiveInfinity;
            }
        }

        return [.. w];
    }

    private Vector<double> Uniform() => Vector<double>.Build.Dense(Exits, 1.0 / Exits);

    private double SquaredNorm(Vector<double> w) => Math.Max(0, w * (_gram * w));

    private double Value(Vector<double> w) => (_linear * w) + (_slope * Math.Sqrt(SquaredNorm(w)));

    private Vector<double> Gradient(Vector<double> w) => _linear + (_gram * w * (_slope / Math.Sqrt(SquaredNorm(w))));

    /// <summary>The step to the minimum of F's quadratic model in a face, from its KKT system.</summary>
    private Vector<double> NewtonStep(Vector<double> w, Vector<double> slope, List<int> face)
    {
        int size = face.Count;
        double norm = Math.Sqrt(SquaredNorm(w));
        Vector<double> direction = _gram * w / norm;
        var system = Matrix<double>.Build.Dense(size + 1, size + 1);
        var right = Vector<double>.Build.Dense(size + 1);
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < size; j++)
            {
                system[i, j] = _slope / norm * (_gram[face[i], face[j]] - (direction[face[i]] * direction[face[j]]));
            }

            system[i, i] += 1e-14 * (1 + (_slope / norm * _gram[face[i], face[i]])); // gradients may be linearly dependent
            system[i, size] = system[size, i] = 1;
            right[i] = -slope[face[i]];
        }

        Vector<double> solution = system.Solve(right);
        var change = Vector<double>.Build.Dense(Exits);
        for (int i = 0; i < size; i++)
        {
            change[face[i]] = solution[i];
        }

        return change;
    }

    /// <summary>Moves w by a step as far as F falls and no weight turns negative; returns the exit whose weight became 0, if any.</summary>
    private int? Move(Vector<double> w, Vector<double> change, double decrement)
    {
        double length = 1, value = Value(w);
        int? leaving = null;
        for (int k = 0; k < Exits; k++)
        {
            if (change[k] < 0 && w[k] + (length * change[k]) < 0)
            {
                (length, leaving) = (w[k] / -change[k], k);
            }
        }

        // Where F falls by less than its rounding error, Newton's step is as good as exact.
        while (decrement > 1e-9 * Math.Abs(value) && length > 1e-9 && Value(w + (change * length)) > value - (1e-4 * length * decrement))
        {
            (length, leaving) = (length / 2, null);
        }

        for (int k = 0; k < Exits; k++)
        {
            w[k] = k == leaving ? 0 : Math.Max(0, w[k] + (length * change[k]));
        }

        return leaving;
    }

    /// <summary>The exit outside a face towards which F falls most from the face's minimum; null: that is the simplex's minimum.</summary>
    private int? Entering(Vector<double> w, List<int> face)
    {
        Vector<double> slope = Gradient(w);
        double level = slope * w; // the same for all in the face
        double most = -1e-12 * (1e-3 + Math.Abs(level));
        int? entering = null;
        foreach (int k in Enumerable.Range(0, Exits).Except(face))
        {
            if (slope[k] - level < most)
            {
                (most, entering) = (slope[k] - level, k);
            }
        }

        return entering;
    }
}
