using System.Globalization;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>The rank of this process, as its launcher specifies in the environment.</summary>
/// <param name="Launcher">The launcher's display name.</param>
/// <param name="Rank">0 … <paramref name="Size"/> − 1.</param>
/// <param name="Size">The number of processes, at least two.</param>
/// <param name="Families">The MPI families it can launch, most likely first.</param>
internal sealed record RankAssignment(string Launcher, int Rank, int Size, params MpiFamily[] Families)
{
    // Variables that launchers set for a rank; a star is a wildcard. User settings such as OMPI_MCA_btl are not included.
    private static readonly string[] RankVariables =
    [
        "OMPI_COMM_WORLD_*", "OMPI_MCA_ess", "OMPI_MCA_ess_*", "OMPI_MCA_orte_ess_*", "OMPI_MCA_orte_hnp_uri",
        "OMPI_MCA_orte_local_daemon_uri", "OMPI_MCA_orte_jobfam_session_dir", "OMPI_MCA_orte_top_session_dir", "OMPI_MCA_orte_num_nodes",
        "OMPI_MCA_orte_app_num", "OMPI_MCA_orte_bound_at_launch", "OMPI_MCA_orte_launch", "OMPI_MCA_orte_precondition_transports",
        "OMPI_MCA_pmix", "OMPI_MCA_initial_wdir", "OMPI_MCA_shmem_RUNTIME_*", "OMPI_MCA_mpi_oversubscribe", "OMPI_APP_CTX_*", "OMPI_ARGV",
        "OMPI_COMMAND", "OMPI_FILE_LOCATION", "OMPI_FIRST_RANKS", "OMPI_NUM_APP_CTX", "OMPI_UNIVERSE_SIZE", "PMIX_RANK", "PMIX_NAMESPACE",
        "PMIX_ID", "PMIX_HOSTNAME", "PMIX_VERSION", "PMIX_SERVER_*", "PMIX_DSTORE_*", "PMIX_BFROP_BUFFER_TYPE", "PMIX_GDS_MODULE",
        "PMIX_SECURITY_MODE", "PMIX_SYSTEM_TMPDIR", "PMI_*", "PMI2_*", "HYDI_*", "MPI_LOCALNRANKS", "MPI_LOCALRANKID",
        "MPIR_CVAR_CH3_INTERFACE_HOSTNAME", "SLURM_STEP*", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_TASK_PID", "SLURM_PMI*", "RANK",
        "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_*",
    ];

    /// <summary>
    /// The assignment made by <c>mpirun</c> of Open MPI or MPICH, or by <c>srun</c>; null: a single process. Variables of other launchers,
    /// such as torchrun's <c>WORLD_SIZE</c>, are ignored.
    /// </summary>
    /// <param name="variable">Returns the value of an environment variable; null if not set.</param>
    /// <exception cref="UsageException">A variable is missing or invalid, or the launcher did not set up MPI.</exception>
    public static RankAssignment? FromEnvironment(Func<string, string?> variable)
    {
        var environment = new Variables(variable);
        bool slurm = environment.Has("SLURM_STEP_NUM_TASKS"); // also set for the helper processes by which mpirun starts ranks under Slurm
        RankAssignment? assignment = environment.Has("OMPI_COMM_WORLD_SIZE")
            ? environment.Parse("mpirun of Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", MpiFamily.OpenMpi)
            : environment.Has("PMI_SIZE") && environment.Has("PMI_RANK")
                ? environment.Has("MPI_LOCALNRANKS") || !slurm
                    ? environment.Parse("mpirun of MPICH", "PMI_RANK", "PMI_SIZE", MpiFamily.Mpich)
                    : environment.Parse("srun (pmi2)", "PMI_RANK", "PMI_SIZE", MpiFamily.Mpich, MpiFamily.OpenMpi)
                : slurm
                    ? environment.Parse(
                        environment.Has("PMIX_RANK") ? "srun (pmix)" : "srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", MpiFamily.OpenMpi,
                        MpiFamily.Mpich)
                    : null;
        return assignment switch
        {
            null or { Size: 1 } => null,
            { Launcher: "srun" } => throw new UsageException(
                FormattableString.Invariant($"srun started {assignment.Size} tasks without MPI, so they cannot communicate; ")
                + "launch them with srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH)"),
            _ => assignment,
        };
    }

    /// <summary>A rank with its host, for messages.</summary>
    public static string Describe(int rank, int size)
        => FormattableString.Invariant($"rank {rank} of {size} on {Environment.MachineName}");

    /// <summary>The assignment of this process.</summary>
    public static RankAssignment? Current() => FromEnvironment(Environment.GetEnvironmentVariable);

    /// <summary>Removes the rank variables from the environment of a process that is to run on its own.</summary>
    public static void RemoveFrom(IDictionary<string, string?> environment)
    {
        foreach (string name in environment.Keys.Where(name => RankVariables.Any(pattern => Matches(name, pattern))).ToArray())
        {
            environment.Remove(name);
        }
    }

    private static bool Matches(string name, string pattern)
        => pattern.EndsWith('*') ? name.StartsWith(pattern[..^1], StringComparison.Ordinal) : name == pattern;

    /// <summary>The environment variables; an empty one counts as not set.</summary>
    private sealed class Variables(Func<string, string?> variable)
    {
        public bool Has(string name) => Text(name) is not null;

        public RankAssignment Parse(string launcher, string rank, string size, params MpiFamily[] families)
        {
            var assignment = new RankAssignment(launcher, Number(rank, from: 0), Number(size, from: 1), families);
            return assignment.Rank < assignment.Size
                ? assignment
                : throw new UsageException(
                    FormattableString.Invariant($"{launcher} reports rank {assignment.Rank} for a size of {assignment.Size}, ")
                    + $"but ranks count from 0; check {rank} and {size}");
        }

        private string? Text(string name) => variable(name) is { Length: > 0 } value ? value : null;

        private int Number(string name, int from) => Text(name) is { } text
            ? int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= from
                ? number
                : throw new UsageException(FormattableString.Invariant($"{name} is '{text}'; it must be an integer >= {from}"))
            : throw new UsageException(
                $"a multi-process launcher set some of its variables, but not {name}; unset them to train with one process");
    }
}

/// <summary>The MPI implementation family, which determines the launcher.</summary>
internal enum MpiFamily
{
    OpenMpi,

    /// <summary>MPICH and its derivatives: Intel MPI, MVAPICH.</summary>
    Mpich,

    /// <summary>Any other.</summary>
    Other,
}
