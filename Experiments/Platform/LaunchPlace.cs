using System.Globalization;

namespace Imta.MetaWeight.Experiments.Platform;

/// <summary>Which of several processes this one is, as the launcher that started it says in the environment.</summary>
/// <param name="Launcher">Its name, for people.</param>
/// <param name="Rank">0 … <paramref name="Size"/> − 1.</param>
/// <param name="Size">Processes, two or more.</param>
/// <param name="Families">Whose MPI libraries it can start, the likeliest first.</param>
internal sealed record LaunchPlace(string Launcher, int Rank, int Size, params MpiFamily[] Families)
{
    // What launchers say to a rank; a star stands for anything. Their users' own settings, such as OMPI_MCA_btl, are not among it.
    private static readonly string[] OfRank =
    [
        "OMPI_COMM_WORLD_*", "OMPI_MCA_ess", "OMPI_MCA_ess_*", "OMPI_MCA_orte_ess_*", "OMPI_MCA_orte_hnp_uri", "OMPI_MCA_orte_local_daemon_uri", "OMPI_MCA_orte_jobfam_session_dir", "OMPI_MCA_orte_top_session_dir",
        "OMPI_MCA_orte_num_nodes", "OMPI_MCA_orte_app_num", "OMPI_MCA_orte_bound_at_launch", "OMPI_MCA_orte_launch", "OMPI_MCA_orte_precondition_transports", "OMPI_MCA_pmix", "OMPI_MCA_initial_wdir", "OMPI_MCA_shmem_RUNTIME_*", "OMPI_MCA_mpi_oversubscribe", "OMPI_APP_CTX_*", "OMPI_ARGV", "OMPI_COMMAND",
        "OMPI_FILE_LOCATION", "OMPI_FIRST_RANKS", "OMPI_NUM_APP_CTX", "OMPI_UNIVERSE_SIZE", "PMIX_RANK", "PMIX_NAMESPACE", "PMIX_ID", "PMIX_HOSTNAME", "PMIX_VERSION", "PMIX_SERVER_*", "PMIX_DSTORE_*",
        "PMIX_BFROP_BUFFER_TYPE", "PMIX_GDS_MODULE", "PMIX_SECURITY_MODE", "PMIX_SYSTEM_TMPDIR", "PMI_*", "PMI2_*", "HYDI_*", "MPI_LOCALNRANKS", "MPI_LOCALRANKID", "MPIR_CVAR_CH3_INTERFACE_HOSTNAME",
        "SLURM_STEP*", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_TASK_PID", "SLURM_PMI*", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_*",
    ];

    /// <summary>
    /// The place that <c>mpirun</c> of Open MPI or MPICH, or <c>srun</c>, gives; null: this process is alone. Variables of other launchers, such as
    /// torchrun's <c>WORLD_SIZE</c>, mean nothing here.
    /// </summary>
    /// <param name="variable">The value of an environment variable; null: it is not set.</param>
    /// <exception cref="UsageException">A variable is missing or is no such number, or the launcher did not prepare MPI.</exception>
    public static LaunchPlace? Of(Func<string, string?> variable)
    {
        var environment = new Variables(variable);
        bool slurm = environment.Has("SLURM_STEP_NUM_TASKS"); // also set for the helpers by which the mpiruns start their processes
        LaunchPlace? place = environment.Has("OMPI_COMM_WORLD_SIZE")
            ? environment.Place("mpirun of Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", MpiFamily.OpenMpi)
            : environment.Has("PMI_SIZE") && environment.Has("PMI_RANK")
                ? environment.Has("MPI_LOCALNRANKS") || !slurm
                    ? environment.Place("mpirun of MPICH", "PMI_RANK", "PMI_SIZE", MpiFamily.Mpich)
                    : environment.Place("srun (pmi2)", "PMI_RANK", "PMI_SIZE", MpiFamily.Mpich, MpiFamily.OpenMpi)
                : slurm
                    ? environment.Place(environment.Has("PMIX_RANK") ? "srun (pmix)" : "srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", MpiFamily.OpenMpi, MpiFamily.Mpich)
                    : null;
        return place switch
        {
            null or { Size: 1 } => null,
            { Launcher: "srun" } => throw new UsageException(
                FormattableString.Invariant($"srun started {place.Size} tasks without MPI, so they cannot meet; ")
                + "start them by srun --mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH)"),
            _ => place,
        };
    }

    /// <summary>This process's.</summary>
    public static LaunchPlace? OfThisProcess() => Of(Environment.GetEnvironmentVariable);

    /// <summary>Takes the variables of a rank out of the environment of a process that is to be alone.</summary>
    public static void Remove(IDictionary<string, string?> environment)
    {
        foreach (string name in environment.Keys.Where(name => OfRank.Any(pattern => Fits(name, pattern))).ToArray())
        {
            environment.Remove(name);
        }
    }

    private static bool Fits(string name, string pattern)
        => pattern.EndsWith('*') ? name.StartsWith(pattern[..^1], StringComparison.Ordinal) : name == pattern;

    /// <summary>The environment's variables; an empty one counts as none.</summary>
    private sealed class Variables(Func<string, string?> variable)
    {
        public bool Has(string name) => Text(name) is not null;

        public LaunchPlace Place(string launcher, string rank, string size, params MpiFamily[] families)
        {
            var place = new LaunchPlace(launcher, Number(rank, from: 0), Number(size, from: 1), families);
            return place.Rank < place.Size
                ? place
                : throw new UsageException(FormattableString.Invariant($"{launcher} says that this is process {place.Rank} of {place.Size}, counted from 0; see {rank} and {size}"));
        }

        private string? Text(string name) => variable(name) is { Length: > 0 } value ? value : null;

        private int Number(string name, int from) => Text(name) is { } text
            ? int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= from
                ? number
                : throw new UsageException(FormattableString.Invariant($"{name} is '{text}'; it takes an integer from {from}"))
            : throw new UsageException($"a launcher of several processes set some of its variables, but not {name}; unset them to train by one process");
    }
}

/// <summary>Whose library, and so whose launcher.</summary>
internal enum MpiFamily
{
    OpenMpi,

    /// <summary>MPICH, and what is made from it: Intel MPI, MVAPICH.</summary>
    Mpich,

    /// <summary>None of those.</summary>
    Other,
}
