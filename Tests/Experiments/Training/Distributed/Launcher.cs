using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>An MPI launcher of this machine, by which a test starts ranks as a user does.</summary>
/// <param name="Mpi">Whose: Open MPI or MPICH.</param>
/// <param name="Program">Its file.</param>
/// <param name="File">That of the library that belongs to it.</param>
internal sealed record Launcher(string Mpi, string Program, string File)
{
    /// <summary>Both, where they are there; CI has both.</summary>
    public static IReadOnlyList<Launcher> All { get; } = [.. Found(MpiFamily.OpenMpi, "Open MPI"), .. Found(MpiFamily.Mpich, "MPICH")];

    public bool IsOpenMpi => Mpi == "Open MPI";

    /// <summary>Skips a test where this machine has no MPI.</summary>
    public static Launcher NeedAny()
    {
        Skip.If(All.Count == 0, "no MPI is installed (Debian: openmpi-bin or mpich)");
        return All[0];
    }

    /// <summary>Skips a test where this machine does not have that MPI.</summary>
    public static Launcher Need(string mpi)
    {
        Skip.IfNot(All.Any(one => one.Mpi == mpi), $"{mpi} is not installed (Debian: {(mpi == "MPICH" ? "mpich" : "openmpi-bin")})");
        return All.Single(one => one.Mpi == mpi);
    }

    /// <summary>The command before the one that each of so many ranks runs.</summary>
    public string[] Starting(int ranks) => [.. Start, "-n", $"{ranks}", .. Binding];

    /// <summary>The start of a command that gives ranks different commands, each after <see cref="Next"/> or first.</summary>
    public string[] One => [.. Start, "-n", "1", .. Binding];

    /// <summary>Between the commands of two ranks.</summary>
    public string[] Next => [":", "-n", "1", .. Binding];

    /// <summary>What a user says besides: as root, and more ranks than cores.</summary>
    private string[] Start => IsOpenMpi ? [Program, "--allow-run-as-root", "--oversubscribe"] : [Program];

    private string[] Binding => IsOpenMpi ? ["--bind-to", "none"] : [];

    private static IEnumerable<Launcher> Found(MpiFamily family, string name)
        => MpiLibrary.Find(family) is { } library && library.Family == family && MpiLauncher.FindFor(library) is { } program
            ? [new Launcher(name, program, library.Path)]
            : [];
}
