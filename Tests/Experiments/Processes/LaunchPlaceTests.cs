using Imta.MetaWeight.Experiments;
using Imta.MetaWeight.Experiments.Processes;

namespace Imta.MetaWeight.Tests.Experiments.Processes;

/// <summary>What launchers say in the environment.</summary>
public sealed class LaunchPlaceTests
{
    [Fact]
    public void Torchruns_is_read_with_its_store()
    {
        string torchrun = "RANK=5 WORLD_SIZE=8 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4 MASTER_ADDR=n1 MASTER_PORT=2000";

        Of(torchrun).Should().Be(new LaunchPlace(5, 8, 1, 4, "n1", 2000));
        Of($"{torchrun} TORCHELASTIC_USE_AGENT_STORE=True TORCHELASTIC_RESTART_COUNT=2").Should().Be(new LaunchPlace(5, 8, 1, 4, "n1", 2000, "imta/2"));
        Of("RANK=1 WORLD_SIZE=2 MASTER_ADDR=n1 MASTER_PORT=2000").Should().Be(new LaunchPlace(1, 2, 1, 2, "n1", 2000), "by hand on one machine");
    }

    [Fact]
    public void Open_Mpis_and_Mpichs_are_read()
    {
        Of("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2").Should().Be(new LaunchPlace(1, 2, 1, 2, "127.0.0.1", 29500));
        Of("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=0 OMPI_COMM_WORLD_LOCAL_SIZE=1 MASTER_ADDR=n1 MASTER_PORT=99").Should().Be(new LaunchPlace(1, 2, 0, 1, "n1", 99));
        Of("PMI_RANK=0 PMI_SIZE=3 MPI_LOCALNRANKS=3 MPI_LOCALRANKID=0").Should().Be(new LaunchPlace(0, 3, 0, 3, "127.0.0.1", 29500));
    }

    [Fact]
    public void Slurms_is_read_in_a_step_and_not_in_the_script_around_it()
    {
        string step = "SLURM_JOB_ID=70012 SLURM_NTASKS=6 SLURM_PROCID=4 SLURM_LOCALID=1 SLURM_STEP_NUM_TASKS=6 SLURM_STEP_TASKS_PER_NODE=3(x2) SLURM_STEP_NODELIST=node[07-08]";

        Of(step).Should().Be(new LaunchPlace(4, 6, 1, 3, "node07", 29512));
        Of($"{step} PMI_RANK=4 PMI_SIZE=6").Should().Be(new LaunchPlace(4, 6, 1, 3, "node07", 29512), "of srun --mpi=pmi2");
        Of("PMI_RANK=1 PMI_SIZE=2 MPI_LOCALNRANKS=2 MPI_LOCALRANKID=1 SLURM_STEP_NUM_TASKS=1 SLURM_PROCID=0").Should().Be(new LaunchPlace(1, 2, 1, 2, "127.0.0.1", 29500), "of MPICH's mpiexec within Slurm");
        Of("SLURM_JOB_ID=70012 SLURM_NTASKS=6 SLURM_PROCID=0 SLURM_LOCALID=0").Should().BeNull("sbatch's script is one process");
    }

    [Theory]
    [InlineData("big3", "big3")]
    [InlineData("a,b", "a")]
    [InlineData("node[07-12,20],big3", "node07")]
    [InlineData("r[1-2]n[03-04].x,big", "r1n03.x")]
    public void The_first_of_slurms_hosts_is_found(string list, string first) => LaunchPlace.FirstHost(list).Should().Be(first);

    [Theory]
    [InlineData("")]
    [InlineData("WORLD_SIZE=1 RANK=0 MASTER_ADDR=n1 MASTER_PORT=1")]
    [InlineData("WORLD_SIZE=")]
    public void One_process_is_alone(string environment) => Of(environment).Should().BeNull();

    [Theory]
    [InlineData("WORLD_SIZE=2 MASTER_ADDR=n1 MASTER_PORT=1", "RANK is not set: it takes an integer from 0")]
    [InlineData("WORLD_SIZE=2 RANK=x MASTER_ADDR=n1 MASTER_PORT=1", "RANK is 'x'; it takes an integer from 0")]
    [InlineData("WORLD_SIZE=2 RANK=0 MASTER_PORT=1", "MASTER_ADDR is not set: it takes the name or address of the machine of process 0")]
    [InlineData("WORLD_SIZE=2 RANK=0 MASTER_ADDR=n1 MASTER_PORT=70000", "MASTER_PORT is 70000; ports go from 1 to 65535")]
    [InlineData("WORLD_SIZE=2 RANK=2 MASTER_ADDR=n1 MASTER_PORT=1", "process 2 of 2")]
    [InlineData("OMPI_COMM_WORLD_RANK=1 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=0 OMPI_COMM_WORLD_LOCAL_SIZE=1", "mpirun passes it on by -x MASTER_ADDR")]
    public void What_does_not_fit_is_said(string environment, string message)
        => FluentActions.Invoking(() => Of(environment)).Should().Throw<UsageException>().WithMessage($"*{message}*");

    private static LaunchPlace? Of(string environment)
    {
        Dictionary<string, string> variables = environment.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(one => one.Split('=', 2)).ToDictionary(one => one[0], one => one[1]);
        return LaunchPlace.Of(variables.GetValueOrDefault);
    }
}
