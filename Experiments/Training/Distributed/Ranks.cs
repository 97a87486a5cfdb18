using System.Text.Json;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>Runs a command in several processes: initialisation, and orderly or abnormal termination.</summary>
internal static class Ranks
{
    /// <summary>Grace period between the last line of a failing rank and the abort of all ranks, in which other failing ranks can report.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    /// <summary>MPI_Abort does not return if it cannot reach the launcher.</summary>
    public static readonly TimeSpan UntilAborted = TimeSpan.FromSeconds(5);

    /// <summary>The same, if this rank was asked to stop.</summary>
    public static readonly TimeSpan UntilStopped = TimeSpan.FromSeconds(0.3);

    /// <summary>Runs the command in this process, alone or as one of the ranks started by a launcher; returns its exit code.</summary>
    /// <param name="place">The rank assignment of the launcher; null for a single process.</param>
    /// <param name="patience">The timeout for waiting for other ranks, at the start and in every collective.</param>
    /// <param name="work">The command; with several ranks it returns the same exit code in all of them, or throws in one of them.</param>
    /// <param name="stop">Asks this process to stop.</param>
    public static int Run(LaunchPlace? place, TimeSpan patience, Func<RankStart, int> work, CancellationToken stop)
    {
        if (place is null)
        {
            return work(new RankStart(Replicas.Alone, null, []));
        }

        var words = new LastWords(place);
        using var watch = new StartWatch(place, patience, words, stop);
        MpiGroup group;
        try
        {
            group = Join(place);
        }
        catch (UsageException e)
        {
            return Failure.Tell(e, words.SayForAll);
        }

        watch.Meet(group);
        var replicas = new Replicas(group, patience, stop) { Tell = words.Say };
        int code = Guarded(replicas, group, words, () =>
        {
            IReadOnlyList<RankIdentity> all = RankIdentity.Exchange(replicas, RankIdentity.Own(group.Mpi, words));
            return work(new RankStart(replicas, watch, all));
        });
        group.Leave(code);
        return code;
    }

    /// <summary>Reports an error line of a command that runs in several processes, so that it is not repeated by each rank.</summary>
    public static void Say(string line)
    {
        if (Place() is { } place)
        {
            new LastWords(place).SayForAll(line);
        }
        else
        {
            Failure.OnConsole(line);
        }

        static LaunchPlace? Place()
        {
            try
            {
                return LaunchPlace.OfThisProcess();
            }
            catch (UsageException)
            {
                return null;
            }
        }
    }

    /// <summary>Initialises MPI's world, which must match the launcher's; otherwise each rank is alone in its own world.</summary>
    private static MpiGroup Join(LaunchPlace place)
    {
        MpiLibrary library = MpiLibrary.Find(place.Families) ?? throw new UsageException(
            $"{place.Launcher} started this process, but no matching MPI library was found; "
            + $"install it where the dynamic loader finds it, or set {MpiLibrary.Variable}=/path/to/libmpi.so");
        var group = new MpiGroup(library);
        return group.Size == place.Size ? group : throw new UsageException(FormattableString.Invariant(
            $"{place.Launcher} started {place.Size} ranks, but {library.Version} ({library.Path}) sees {group.Size}: the library does not belong to the launcher; ")
            + $"launch with that library's own mpirun, or set the launcher's library with {MpiLibrary.Variable}=/path/to/libmpi.so");
    }

    /// <summary>Ends in an orderly way after a result common to all ranks, or aborts all ranks after a failure of this rank only.</summary>
    private static int Guarded(Replicas replicas, MpiGroup group, LastWords words, Func<int> work)
    {
        try
        {
            int code;
            try
            {
                code = work();
            }
            catch (Exception e) when (e is SharedFailureException or OperationCanceledException)
            {
                code = Failure.Tell(e, replicas.IsFirst ? Failure.OnConsole : _ => { });
            }

            replicas.Part();
            return code;
        }
        catch (Exception e)
        {
            int code = Failure.Tell(e, line => words.Say(replicas.IsFirst || e is LostProcessException ? line : $"{replicas.Name}: {line}"));
            bool stopped = code == Interruption.ExitCode;
            Thread.Sleep(stopped ? TimeSpan.Zero : Grace);
            group.Abort(code, stopped ? UntilStopped : UntilAborted);
            return code;
        }
    }
}

/// <summary>The information a command gets about its ranks.</summary>
/// <param name="Replicas">The process group.</param>
/// <param name="Watch">Ends this rank if it is asked to stop before training starts; null for a single process.</param>
/// <param name="Identities">By rank; empty for a single process.</param>
internal sealed record RankStart(Replicas Replicas, StartWatch? Watch, IReadOnlyList<RankIdentity> Identities)
{
    /// <summary>The local rank on this machine, which is also the index of its CUDA device.</summary>
    public int LocalRank => Identities.Take(Replicas.Shard.Rank).Count(IsHere);

    /// <summary>The number of ranks on this machine, which share its cores and memory.</summary>
    public int LocalSize => Math.Max(1, Identities.Count(IsHere));

    private bool IsHere(RankIdentity one) => one.Host == Identities[Replicas.Shard.Rank].Host;
}

/// <summary>The identity of a rank, exchanged at the start.</summary>
/// <param name="Host">The host name.</param>
/// <param name="Process">The process id.</param>
/// <param name="Version">The version of this program.</param>
/// <param name="Mpi">The MPI library.</param>
/// <param name="LastWords">The error-log file on its machine, for when the launcher is gone.</param>
internal sealed record RankIdentity(string Host, int Process, string Version, string Mpi, string LastWords)
{
    public static RankIdentity Own(MpiLibrary library, LastWords words)
        => new(Environment.MachineName, Environment.ProcessId, OwnProgram.Version, library.Version, words.Path);

    /// <summary>Gathers the identities of all ranks.</summary>
    /// <exception cref="SharedFailureException">The program or MPI library of a rank differs from rank 0's.</exception>
    public static IReadOnlyList<RankIdentity> Exchange(Replicas replicas, RankIdentity own)
    {
        string mine = JsonSerializer.Serialize(own);
        RankIdentity[] all = [.. Enumerable.Range(0, replicas.Shard.Of)
            .Select(rank => replicas.Share(rank == replicas.Shard.Rank ? mine : null, rank))
            .Select(json => JsonSerializer.Deserialize<RankIdentity>(json)!)];
        foreach ((RankIdentity one, int rank) in all.Select((one, rank) => (one, rank)))
        {
            Compare("runs imta", one.Version, all[0].Version, rank);
            Compare("uses", one.Mpi, all[0].Mpi, rank);
        }

        return all;

        void Compare(string what, string its, string first, int rank)
        {
            if (its != first)
            {
                string differs = FormattableString.Invariant($"rank {rank} of {all.Length} on {all[rank].Host} {what} {its}, but rank 0 on {all[0].Host} {first}");
                throw new SharedFailureException($"{differs}; all ranks must use the same", UsageException.ExitCode);
            }
        }
    }
}
