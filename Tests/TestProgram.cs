using System.Globalization;
using Imta.MetaWeight.Tests.Backbones.Kernels;
using Imta.MetaWeight.Tests.Experiments;
using Imta.MetaWeight.Tests.Experiments.Training.Distributed;
using Imta.MetaWeight.Tests.Meta;

namespace Imta.MetaWeight.Tests;

/// <summary>
/// This assembly as a program: what tests run in processes of their own, and what sums up a run of the tests for <c>./test</c>.
/// </summary>
internal static class TestProgram
{
    public static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case [RankProgram.Laws]:
                return RankProgram.Run();
            case [VectorWidthProgram.Name, string folder]:
                return VectorWidthProgram.Run(folder);
            case [TorchLibrariesTests.Program]:
                return TorchLibrariesTests.BeginWithTorch();
            case [NativeMemoryTests.Program]:
                return NativeMemoryTests.FreeMemory();
            case [FaultyNetwork.Program, string fault, string method]:
                return FaultyNetwork.Run(Enum.Parse<NetworkFault>(fault), method);
            case [KeptProcess.Program]:
                return KeptProcess.Serve();
            case [TestSummary.Command, string records, string exitCode]:
                return TestSummary.Write(records, int.Parse(exitCode, CultureInfo.InvariantCulture), Console.Out);
            default:
                Console.Error.WriteLine("these tests are run by dotnet test");
                return UsageException.ExitCode;
        }
    }
}
