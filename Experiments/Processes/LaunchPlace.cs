using System.Globalization;
using System.Net;

namespace Imta.MetaWeight.Experiments.Processes;

/// <summary>Which of the processes of a run this one is, as its launcher says in the environment.</summary>
/// <param name="Rank">0 … <paramref name="Size"/> − 1.</param>
/// <param name="Size">Processes of the run.</param>
/// <param name="LocalRank">Which of those on this machine.</param>
/// <param name="LocalSize">Processes of the run on this machine.</param>
/// <param name="Host">The machine of rank 0.</param>
/// <param name="Port">The port there at which processes meet.</param>
/// <param name="Agent">Where a launcher hosts the meeting place itself, the names of this group's keys in it; null: rank 0 hosts it.</param>
internal sealed record LaunchPlace(int Rank, int Size, int LocalRank, int LocalSize, string Host, int Port, string? Agent = null)
{
    private const int UsualPort = 29500; // c10d's

    /// <summary>The place that torchrun (or whoever sets <c>RANK</c> and <c>WORLD_SIZE</c>), Open MPI, MPICH or Slurm gives; null: this process is alone.</summary>
    /// <param name="variable">The value of an environment variable; null: it is not set.</param>
    /// <exception cref="UsageException">A variable is missing, or is no such number.</exception>
    public static LaunchPlace? Of(Func<string, string?> variable)
    {
        var environment = new Variables(variable);
        // Slurm can set PMI's variables too (srun --mpi=pmi2), and MPICH can start by Slurm, whose variables are then of its helpers.
        LaunchPlace? place = environment.Has("WORLD_SIZE") ? OfTorchrun(environment)
            : environment.Has("OMPI_COMM_WORLD_SIZE") ? OfMpi(environment, "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK")
            : environment.Has("PMI_SIZE") && (environment.Has("MPI_LOCALNRANKS") || !environment.Has("SLURM_STEP_NUM_TASKS")) ? OfMpi(environment, "PMI_SIZE", "PMI_RANK", "MPI_LOCALNRANKS", "MPI_LOCALRANKID")
            : environment.Has("SLURM_STEP_NUM_TASKS") ? OfSlurm(environment)
            : null;
        if (place is not null && (place.Rank >= place.Size || place.LocalRank >= place.LocalSize))
        {
            throw new UsageException(FormattableString.Invariant($"the launcher says that this is process {place.Rank} of {place.Size}, {place.LocalRank} of {place.LocalSize} on this machine, counted from 0; see RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE, or the launcher's own variables"));
        }

        return place is { Size: 1 } ? null : place;
    }

    private static LaunchPlace OfTorchrun(Variables environment)
    {
        int size = environment.Number("WORLD_SIZE", from: 1), rank = environment.Number("RANK", from: 0);
        bool agent = string.Equals(environment.Text("TORCHELASTIC_USE_AGENT_STORE"), "True", StringComparison.OrdinalIgnoreCase);
        return new LaunchPlace(
            rank,
            size,
            environment.Number("LOCAL_RANK", from: 0, otherwise: rank),
            environment.Number("LOCAL_WORLD_SIZE", from: 1, otherwise: size),
            environment.Text("MASTER_ADDR") ?? throw Variables.Missing("MASTER_ADDR", "the name or address of the machine of process 0"),
            environment.Port(otherwise: null),
            agent ? $"imta/{environment.Text("TORCHELASTIC_RESTART_COUNT") ?? "0"}" : null);
    }

    private static LaunchPlace OfMpi(Variables environment, string size, string rank, string localSize, string localRank)
    {
        int all = environment.Number(size, from: 1), here = environment.Number(localSize, from: 1, otherwise: all);
        string host = environment.Text("MASTER_ADDR") ?? (here == all
            ? IPAddress.Loopback.ToString()
            : throw Variables.Missing("MASTER_ADDR", "the name or address of the machine of process 0; mpirun passes it on by -x MASTER_ADDR (Open MPI) or -genv MASTER_ADDR NAME (MPICH)"));
        int number = environment.Number(rank, from: 0);
        return new LaunchPlace(number, all, environment.Number(localRank, from: 0, otherwise: number), here, host, environment.Port(UsualPort));
    }

    private static LaunchPlace OfSlurm(Variables environment)
    {
        int size = environment.Number("SLURM_STEP_NUM_TASKS", from: 1), localRank = environment.Number("SLURM_LOCALID", from: 0);
        string tasks = environment.Text("SLURM_STEP_TASKS_PER_NODE") ?? size.ToString(CultureInfo.InvariantCulture); // such as 4(x2),3
        int here = int.TryParse(tasks.Split('(', ',')[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first) ? Math.Max(first, localRank + 1) : size;
        string host = environment.Text("MASTER_ADDR") ?? FirstHost(environment.Text("SLURM_STEP_NODELIST") ?? environment.Text("SLURM_NODELIST")
            ?? throw Variables.Missing("MASTER_ADDR", "the name or address of the machine of process 0"));
        int job = environment.Number("SLURM_JOB_ID", from: 0, otherwise: 0);
        return new LaunchPlace(environment.Number("SLURM_PROCID", from: 0), size, localRank, here, host, environment.Port(UsualPort + (job % 10_000)));
    }

    /// <summary>The first of Slurm's list of hosts, such as <c>node[07-12,20],big3</c>.</summary>
    internal static string FirstHost(string list)
    {
        int open = list.IndexOf('[', StringComparison.Ordinal), comma = list.IndexOf(',', StringComparison.Ordinal);
        if (open < 0 || (comma >= 0 && comma < open))
        {
            return comma < 0 ? list : list[..comma];
        }

        int close = list.IndexOf(']', open);
        string number = list[(open + 1)..close].Split('-', ',')[0], rest = list[(close + 1)..].Split(',')[0];
        return FirstHost($"{list[..open]}{number}{rest}");
    }

    /// <summary>The environment's variables; an empty one counts as none.</summary>
    private sealed class Variables(Func<string, string?> variable)
    {
        public bool Has(string name) => Text(name) is not null;

        public string? Text(string name) => variable(name) is { Length: > 0 } value ? value : null;

        public static UsageException Missing(string name, string what) => new($"several processes are to train together, and {name} is not set: it takes {what}");

        public int Number(string name, int from, int? otherwise = null)
        {
            string? text = Text(name);
            if (text is null && otherwise is { } value)
            {
                return value;
            }

            return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= from
                ? number
                : throw (text is null ? Missing(name, FormattableString.Invariant($"an integer from {from}")) : new UsageException(FormattableString.Invariant($"{name} is '{text}'; it takes an integer from {from}")));
        }

        public int Port(int? otherwise) => Number("MASTER_PORT", from: 1, otherwise) is var port && port < 65536
            ? port
            : throw new UsageException(FormattableString.Invariant($"MASTER_PORT is {port}; ports go from 1 to 65535"));
    }
}
