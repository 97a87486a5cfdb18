namespace Imta.MetaWeight.Native;

/// <summary>Operations on the handle of a CPU random generator (a heap-allocated <c>at::Generator</c>).</summary>
public static unsafe class GeneratorHandle
{
    /// <summary>A new generator with its own state.</summary>
    public static nint New(ulong seed) => Checked(NativeMethods.GeneratorNew(seed));

    /// <summary>A handle of the process-wide generator.</summary>
    public static nint ProcessWide() => Checked(NativeMethods.GeneratorDefault());

    /// <summary>Frees a handle.</summary>
    public static void Free(nint handle) => NativeMethods.GeneratorFree(handle);

    /// <summary>Starts the generator's sequence anew.</summary>
    public static void Seed(nint handle, ulong seed) => Runtime.Check(NativeMethods.GeneratorSeed(handle, seed));

    /// <summary>The seed that the sequence started from.</summary>
    public static ulong InitialSeed(nint handle)
    {
        ulong seed;
        Runtime.Check(NativeMethods.GeneratorInitialSeed(handle, &seed));
        return seed;
    }

    private static nint Checked(nint handle) => handle != 0 ? handle : throw Runtime.LastError();
}
