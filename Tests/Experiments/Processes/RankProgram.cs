using System.Globalization;
using System.Runtime.CompilerServices;
using Imta.MetaWeight.Experiments;
using Imta.MetaWeight.Experiments.Processes;
using Imta.MetaWeight.Tests.Backbones.Kernels;

namespace Imta.MetaWeight.Tests.Experiments.Processes;

/// <summary>
/// This assembly as a program: a rank that an MPI launcher starts for <see cref="ReplicasTests"/>, or what sums up a run of the tests for <c>./test</c>.
/// </summary>
internal static class RankProgram
{
    /// <summary>Its argument: all laws for as many ranks as there are.</summary>
    public const string Laws = "laws";

    public static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case [Laws]:
                Terminal.Prepare();
                return Ranks.Run(LaunchPlace.OfThisProcess()!, TimeSpan.FromMinutes(2), ranks => Check(ranks.Replicas), CancellationToken.None);
            case [VectorWidthProgram.Name, string folder]:
                return VectorWidthProgram.Run(folder);
            case [TestSummary.Command, string records, string exitCode]:
                return TestSummary.Write(records, int.Parse(exitCode, CultureInfo.InvariantCulture), Console.Out);
            default:
                Console.Error.WriteLine("these tests are run by dotnet test");
                return UsageException.ExitCode;
        }
    }

    private static int Check(Replicas all)
    {
        // libraries that take SIGSEGV for their own would end the process here
        FluentActions.Invoking(() => LengthOf(null)).Should().Throw<NullReferenceException>();
        foreach (ReplicasLaw law in ReplicasLaw.All.Where(law => law.Ranks == all.Shard.Of))
        {
            using DisposeScope scope = NewDisposeScope();
            double error = all.Gather(tensor(new[] { law.Error(all) })).max().item<double>();
            if (all.IsFirst)
            {
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{law}\t{error:R}"));
            }
        }

        return 0;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int LengthOf(string? text) => text!.Length;
}
