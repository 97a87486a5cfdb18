using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>What launchers say in the environment.</summary>
public sealed class RankAssignmentTests
{
    private const string SlurmStep = "SLURM_JOB_ID=70012 SLURM_NTASKS=6 SLURM_PROCID=4 SLURM_LOCALID=1 SLURM_STEP_NUM_TASKS=6 "
        + "SLURM_STEP_TASKS_PER_NODE=3(x2) SLURM_STEP_NODELIST=node[07-08]";

    [Theory]
    [InlineData("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=1", "mpirun of Open MPI", 1, 2, "OpenMpi")]
    [
        InlineData(
            "OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0", "mpirun of Open MPI", 1, 2, "OpenMpi")
    ]
    [InlineData("PMI_RANK=0 PMI_SIZE=3 MPI_LOCALNRANKS=3 MPI_LOCALRANKID=0", "mpirun of MPICH", 0, 3, "Mpich")]
    [
        InlineData(
            "PMI_RANK=1 PMI_SIZE=2 MPI_LOCALNRANKS=2 MPI_LOCALRANKID=1 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0", "mpirun of MPICH", 1, 2,
            "Mpich")
    ]
    [InlineData(SlurmStep + " PMI_RANK=4 PMI_SIZE=6", "srun (pmi2)", 4, 6, "Mpich")]
    [InlineData(SlurmStep + " PMIX_RANK=4", "srun (pmix)", 4, 6, "OpenMpi")]
    public void Open_Mpis_Mpichs_and_Slurms_are_read_and_choose_the_library(
        string environment, string launcher, int rank, int size, string family)
    {
        RankAssignment place = Of(environment)!;

        (place.Launcher, place.Rank, place.Size, place.Families[0].ToString()).Should().Be((launcher, rank, size, family));
    }

    [Theory]
    [InlineData("")]
    [InlineData("OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=1")]
    [InlineData("OMPI_COMM_WORLD_SIZE=")]
    [InlineData("RANK=1 WORLD_SIZE=2 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 MASTER_ADDR=n1 MASTER_PORT=2000 TORCHELASTIC_USE_AGENT_STORE=True")]
    [InlineData("SLURM_JOB_ID=70012 SLURM_NTASKS=6 SLURM_PROCID=0 SLURM_LOCALID=0")]
    [InlineData("PMIX_RANK=3")]
    public void One_process_is_alone_whatever_other_launchers_have_left(string environment) => Of(environment).Should().BeNull();

    [Theory]
    [InlineData("OMPI_COMM_WORLD_SIZE=2", "set some of its variables, but not OMPI_COMM_WORLD_RANK")]
    [InlineData("OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=x", "OMPI_COMM_WORLD_RANK is 'x'; it must be an integer >= 0")]
    [InlineData("PMI_SIZE=2 PMI_RANK=2", "reports rank 2 for a size of 2, but ranks count from 0; check PMI_RANK and PMI_SIZE")]
    [InlineData(SlurmStep, "srun started 6 tasks without MPI, so they cannot communicate; launch them with srun --mpi=pmix (Open MPI) or "
        + "--mpi=pmi2 (MPICH)")]
    public void What_does_not_fit_is_said(string environment, string message)
        => FluentActions.Invoking(() => Of(environment)).Should().Throw<UsageException>().WithMessage($"*{message}*");

    [Fact]
    public void A_process_that_is_to_be_alone_gets_no_ranks_variables_and_keeps_its_users_own()
    {
        string[] own =
        [
            "PATH", "RANKING", "OMPI_MCA_btl", "OMPI_MCA_orte_base_help_aggregate", "PMIX_MCA_gds", "OMPI_ALLOW_RUN_AS_ROOT",
            "SLURM_JOB_ID", "MPICH_VAR", "UCX_TLS",
        ];
        string[] ranks =
        [
            "OMPI_COMM_WORLD_RANK", "OMPI_MCA_orte_hnp_uri", "OMPI_MCA_ess", "OMPI_MCA_ess_base_vpid", "PMIX_RANK", "PMIX_SERVER_URI4",
            "PMIX_NAMESPACE", "PMI_FD", "PMI_SIZE", "HYDI_CONTROL_FD", "MPI_LOCALNRANKS", "SLURM_PROCID", "SLURM_STEP_ID", "RANK",
            "WORLD_SIZE", "MASTER_ADDR",
        ];
        Dictionary<string, string?> environment = own.Concat(ranks).ToDictionary(name => name, _ => (string?)"1");

        RankAssignment.RemoveFrom(environment);

        environment.Keys.Should().BeEquivalentTo(own);
    }

    private static RankAssignment? Of(string environment)
    {
        Dictionary<string, string> variables = environment.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(one => one.Split('=', 2))
            .ToDictionary(one => one[0], one => one[1]);
        return RankAssignment.FromEnvironment(variables.GetValueOrDefault);
    }
}
