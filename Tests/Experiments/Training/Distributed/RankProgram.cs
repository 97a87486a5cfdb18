using System.Globalization;
using System.Runtime.CompilerServices;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Training.Distributed;

namespace Imta.MetaWeight.Tests.Experiments.Training.Distributed;

/// <summary>A rank that an MPI launcher starts for <see cref="ProcessGroupTests"/>.</summary>
internal static class RankProgram
{
    /// <summary>Its argument: all laws for as many ranks as there are.</summary>
    public const string Laws = "laws";

    public static int Run()
    {
        Terminal.Prepare();
        return RankRunner.Run(
            RankAssignment.Current()!, TimeSpan.FromMinutes(2), ranks => Check(ranks.ProcessGroup), CancellationToken.None);
    }

    private static int Check(ProcessGroup all)
    {
        // libraries that take SIGSEGV for their own would end the process here
        FluentActions.Invoking(() => LengthOf(null)).Should().Throw<NullReferenceException>();
        foreach (ProcessGroupLaw law in ProcessGroupLaw.All.Where(law => law.Ranks == all.Shard.Count))
        {
            using DisposeScope scope = NewDisposeScope();
            double error = all.AllGather(tensor(new[] { law.Error(all) })).max().item<double>();
            if (all.IsRankZero)
            {
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{law}\t{error:R}"));
            }
        }

        return 0;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int LengthOf(string? text) => text!.Length;
}
