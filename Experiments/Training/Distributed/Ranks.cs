using System.Text.Json;

namespace Imta.MetaWeight.Experiments.Training.Distributed;

/// <summary>A command that several processes run together: how they meet, and how they end, in order or not.</summary>
internal static class Ranks
{
    /// <summary>Between the last line of a rank that gives up and the end of all: others that give up at the same time say theirs.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    /// <summary>MPI_Abort does not return where it cannot reach the launcher.</summary>
    public static readonly TimeSpan UntilAborted = TimeSpan.FromSeconds(5);

    /// <summary>The same, where somebody waits for this rank to stop.</summary>
    public static readonly TimeSpan UntilStopped = TimeSpan.FromSeconds(0.3);

    /// <summary>Runs the command in this process, alone or as one of those that a launcher has started; its exit code.</summary>
    /// <param name="place">The launcher's; null: this process is alone.</param>
    /// <param name="patience">How long one waits for the others, at the start and in every exchange.</param>
    /// <param name="work">The command; of several ranks it ends in all of them with the same exit code, or throws in one of them.</param>
    /// <param name="stop">Asks this one to stop.</param>
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

    /// <summary>Takes a line of a command that several processes run: not each of them says the same.</summary>
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

    /// <summary>MPI's world, which has to be the launcher's; otherwise each rank is alone in a world of its own.</summary>
    private static MpiGroup Join(LaunchPlace place)
    {
        MpiLibrary library = MpiLibrary.Find(place.Families) ?? throw new UsageException(
            $"{place.Launcher} started this process, and no MPI library of its kind is found here; "
            + $"install it where the loader looks, or name its file by {MpiLibrary.Variable}=/path/to/libmpi.so");
        var group = new MpiGroup(library);
        return group.Size == place.Size ? group : throw new UsageException(FormattableString.Invariant(
            $"{place.Launcher} started {place.Size} ranks, and {library.Version} ({library.Path}) knows of {group.Size}: the library is not the launcher's; ")
            + $"start by that library's own mpirun, or name the launcher's library by {MpiLibrary.Variable}=/path/to/libmpi.so");
    }

    /// <summary>Ends in order, after what all ranks have come to together; or, after what came to this one only, by ending all of them.</summary>
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

/// <summary>What a command gets to know of the ranks that run it.</summary>
/// <param name="Replicas">All of them.</param>
/// <param name="Watch">Ends this one if it is asked to stop before training begins; null: it is alone.</param>
/// <param name="Identities">By rank; none where it is alone.</param>
internal sealed record RankStart(Replicas Replicas, StartWatch? Watch, IReadOnlyList<RankIdentity> Identities)
{
    /// <summary>Which of the ranks on this machine this one is; it computes on the CUDA device of that number.</summary>
    public int LocalRank => Identities.Take(Replicas.Shard.Rank).Count(IsHere);

    /// <summary>Ranks on this machine, which share its cores and memory.</summary>
    public int LocalSize => Math.Max(1, Identities.Count(IsHere));

    private bool IsHere(RankIdentity one) => one.Host == Identities[Replicas.Shard.Rank].Host;
}

/// <summary>Who a rank is, told to all at the start.</summary>
/// <param name="Host">Its machine.</param>
/// <param name="Process">Its number there.</param>
/// <param name="Version">Of this program.</param>
/// <param name="Mpi">The MPI library.</param>
/// <param name="LastWords">The file of its machine in which its last line is, where others are lost.</param>
internal sealed record RankIdentity(string Host, int Process, string Version, string Mpi, string LastWords)
{
    public static RankIdentity Own(MpiLibrary library, LastWords words)
        => new(Environment.MachineName, Environment.ProcessId, OwnProgram.Version, library.Version, words.Path);

    /// <summary>That of every rank.</summary>
    /// <exception cref="SharedFailureException">One has another program or library than rank 0.</exception>
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
                string differs = FormattableString.Invariant($"rank {rank} of {all.Length} on {all[rank].Host} {what} {its}, and rank 0 on {all[0].Host} {first}");
                throw new SharedFailureException($"{differs}; give all ranks the same", UsageException.ExitCode);
            }
        }
    }
}
