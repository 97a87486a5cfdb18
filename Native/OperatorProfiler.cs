using System.Runtime.InteropServices;

namespace Imta.MetaWeight.Native;

/// <summary>
/// Times every operator of libtorch, and every node of a backward pass, on all threads of the process. One at a time; no operator may
/// run while it starts or stops.
/// </summary>
public static unsafe class OperatorProfiler
{
    /// <summary>Starts anew.</summary>
    /// <param name="waitForDevice">Whether each call waits for its work on the current CUDA device; otherwise queueing is timed there.</param>
    /// <exception cref="ExternalException">It has been started already.</exception>
    /// <exception cref="DllNotFoundException">The library is not there.</exception>
    public static void Start(bool waitForDevice) => Runtime.Check(NativeMethods.ProfilerStart(waitForDevice ? 1 : 0));

    /// <summary>Ends, and returns what was called, the one that took most first.</summary>
    /// <exception cref="ExternalException">It has not been started.</exception>
    public static IReadOnlyList<OperatorTime> Stop()
    {
        var times = new OperatorTime[Runtime.Check(NativeMethods.ProfilerStop())];
        for (int i = 0; i < times.Length; i++)
        {
            nint name;
            long calls, nanoseconds;
            Runtime.Check(NativeMethods.ProfilerResult(i, &name, &calls, &nanoseconds));
            times[i] = new OperatorTime(Marshal.PtrToStringUTF8(name)!, calls, nanoseconds / 1e9);
        }

        return [.. times.OrderByDescending(time => time.SelfSeconds)];
    }
}

/// <summary>The calls of one operator, all overloads together.</summary>
/// <param name="Name">Such as <c>aten::add</c>.</param>
/// <param name="Calls">How many.</param>
/// <param name="SelfSeconds">What they took, without what they called.</param>
public sealed record OperatorTime(string Name, long Calls, double SelfSeconds);
