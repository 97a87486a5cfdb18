using Imta.MetaWeight.Native;

namespace Imta.MetaWeight.Experiments.Benchmarks;

/// <summary>Where the time of a part of a step goes.</summary>
/// <param name="Seconds">Of one part.</param>
/// <param name="Operators">What took most first, calls and seconds of one part.</param>
internal sealed record StepProfile(double Seconds, IReadOnlyList<OperatorShare> Operators)
{
    /// <summary>What no operator took: the host program.</summary>
    public double OutsideSeconds => Seconds - Operators.Sum(one => one.SelfSeconds);

    /// <summary>The mean over some steps, after one that does not count.</summary>
    /// <param name="contender">Makes a step and returns the seconds of one part.</param>
    /// <param name="steps">How many.</param>
    /// <param name="parts">Parts of a step.</param>
    /// <param name="waitForDevice">Whether each operator waits for its work on the CUDA device.</param>
    public static StepProfile Of(Contender contender, int steps, int parts, bool waitForDevice)
    {
        contender.Measure();
        double seconds = 0;
        OperatorProfiler.Start(waitForDevice);
        for (int step = 0; step < steps; step++)
        {
            seconds += contender.Measure();
        }

        double count = steps * parts;
        return new StepProfile(seconds / steps, [.. OperatorProfiler.Stop().Select(one => new OperatorShare(one.Name, one.Calls / count, one.SelfSeconds / count))]);
    }
}

/// <summary>One operator in a part of a step.</summary>
/// <param name="Name">Such as <c>aten::add</c>; a node of a backward pass such as <c>ReluBackward0</c>.</param>
/// <param name="Calls">The mean number of calls.</param>
/// <param name="SelfSeconds">Without what it calls.</param>
internal sealed record OperatorShare(string Name, double Calls, double SelfSeconds);
