using System.Text.Json;
using Imta.MetaWeight.Experiments.Commands;
using Imta.MetaWeight.Experiments.Processes.Mpi;
using Imta.MetaWeight.Experiments.Training;

namespace Imta.MetaWeight.Experiments.Processes;

/// <summary>A command that several processes run together: how they meet, and how they end, in order or not.</summary>
internal static class Ranks
{
    /// <summary>Between the last line of a rank that gives up and the end of all: others that give up at the same time say theirs.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(1);

    /// <summary>Runs the command in this process, alone or as one of those that a launcher has started; its exit code.</summary>
    /// <param name="place">The launcher's; null: this process is alone.</param>
    /// <param name="patience">How long one waits for the others, at the start and in every exchange.</param>
    /// <param name="work">The command; of several ranks it ends in all of them with the same exit code, or throws in one of them.</param>
    /// <param name="stop">Asks this one to stop.</param>
    /// <exception cref="UsageException">The MPI library is not the launcher's.</exception>
    public static int Run(LaunchPlace? place, TimeSpan patience, Func<RankStart, int> work, CancellationToken stop)
    {
        if (place is null)
        {
            return work(new RankStart(Replicas.Alone, null, []));
        }

        LastWords words = LastWords.Of(place.Rank);
        using var watch = new StartWatch(place, patience, words, stop);
        MpiLibrary? library = MpiLibrary.Find(place.Families);
        if (library is null)
        {
            words.Say($"{place.Launcher} started {Replicas.NameOf(place.Rank, place.Size)}, where no MPI library of its kind is found; install it where the loader looks, or name its file by {MpiLibrary.Variable}=/path/to/libmpi.so");
            return UsageException.ExitCode;
        }

        MpiGroup group = Join(library, place);

        watch.Meet();
        var replicas = new Replicas(group, patience, stop) { Tell = words.Say };
        int code = Guarded(replicas, group, words, () =>
        {
            IReadOnlyList<RankIdentity> others = RankIdentity.Exchange(replicas, RankIdentity.Own(group.Library, words));
            return work(new RankStart(replicas, watch, others));
        });
        group.Leave(code);
        return code;
    }

    /// <summary>MPI's world, which has to be the launcher's; otherwise each rank is alone in a world of its own, and the first one says so.</summary>
    private static MpiGroup Join(MpiLibrary library, LaunchPlace place)
    {
        var group = new MpiGroup(library);
        if (group.Size == place.Size)
        {
            return group;
        }

        group.Leave(UsageException.ExitCode);
        throw new UsageException(FormattableString.Invariant(
            $"{place.Launcher} started {place.Size} ranks, and {library.Version} ({library.Path}) knows of {group.Size}: the library is not the launcher's; start by that library's own mpirun, or name the launcher's library by {MpiLibrary.Variable}=/path/to/libmpi.so"));
    }

    /// <summary>Ends in order, after what all ranks have come to together; or, after what came to this one only, by ending all of them.</summary>
    private static int Guarded(Replicas replicas, MpiGroup group, LastWords words, Func<int> work)
    {
        try
        {
            int code = work();
            replicas.Part();
            return code;
        }
        catch (Exception e) when (e is SharedFailureException or NonFiniteException or OperationCanceledException)
        {
            int code = Failure.Tell(e, replicas.IsFirst ? Failure.OnConsole : _ => { });
            return Parted(replicas, group, words, code);
        }
        catch (Exception e)
        {
            return Abandon(e, replicas, group, words);
        }
    }

    private static int Parted(Replicas replicas, MpiGroup group, LastWords words, int code)
    {
        try
        {
            replicas.Part();
            return code;
        }
        catch (LostProcessException e)
        {
            return Abandon(e, replicas, group, words);
        }
    }

    private static int Abandon(Exception failure, Replicas replicas, MpiGroup group, LastWords words)
    {
        int code = Failure.Tell(failure, line => words.Say(replicas.IsFirst || failure is LostProcessException ? line : $"{replicas.Name}: {line}"));
        Thread.Sleep(code == Interruption.ExitCode ? TimeSpan.Zero : Grace);
        group.Abort(code);
        return code;
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
    public static RankIdentity Own(MpiLibrary library, LastWords words) => new(Environment.MachineName, Environment.ProcessId, OwnProgram.Version, library.Version, words.Path);

    /// <summary>That of every rank.</summary>
    /// <exception cref="SharedFailureException">One has another program or library than rank 0.</exception>
    public static IReadOnlyList<RankIdentity> Exchange(Replicas replicas, RankIdentity own)
    {
        RankIdentity[] all = [.. Enumerable.Range(0, replicas.Shard.Of).Select(rank => JsonSerializer.Deserialize<RankIdentity>(replicas.Share(rank == replicas.Shard.Rank ? JsonSerializer.Serialize(own) : null, rank))!)];
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
                throw new SharedFailureException(FormattableString.Invariant($"rank {rank} of {all.Length} on {all[rank].Host} {what} {its}, and rank 0 on {all[0].Host} {first}; give all ranks the same"), UsageException.ExitCode);
            }
        }
    }
}
