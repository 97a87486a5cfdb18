using System.CommandLine;
using System.Globalization;
using Imta.MetaWeight.Experiments.Benchmarks;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Meta.Gradients;

namespace Imta.MetaWeight.Experiments.Commands;

/// <summary><c>imta bench meta-step [CONFIG.yaml]</c>: meta steps side by side: seconds, time per phase, memory.</summary>
internal static class BenchMetaStepCommand
{
    private const int MaxPhaseRounds = 3;

    private static readonly MetaGradientMethod[] DefaultMethods = [MetaGradientMethod.Forward, MetaGradientMethod.Unrolled];

    private static readonly Option<int?> Batch = NumberOption.Integer(
        "--batch", "N", "Batch size (two half batches), overriding the configuration's train.batch");
    private static readonly Option<string[]> Gradient = new("--gradient")
    {
        HelpName = "method,...",
        Description = "Meta-gradient methods "
        + "to measure; default: forward,unrolled",
        AllowMultipleArgumentsPerToken = false
    };
    private static readonly Option<bool> Published = new("--published")
    {
        Description = "Also measure the published sequence, with plain operators and autograd"
    };
    private static readonly Option<bool> Combinations = new("--combinations")
    {
        Description = "Instead of steps with learned weights, measure plain steps with each combination of the exits' gradients"
    };
    private static readonly Option<string?> Against = new("--against")
    {
        HelpName = "COMMAND",
        Description = "Measure another program in "
        + "alternation, such as 'python3 bench/pytorch_step.py --serve'"
    };
    private static readonly Option<bool> NoMemory = new("--no-memory")
    {
        Description = "Do not measure memory, which needs a separate "
        + "process for each kind of step"
    };
    private static readonly Option<string?> Only = new("--only")
    {
        Description = "Print the memory of one kind of step in this "
        + "process",
        Hidden = true
    };

    public static Command Build()
    {
        var command = new Command(
            "meta-step",
            "Compare half-batch training steps: plain, with learned weights by each meta-gradient method, and in another program")
        {
            ConfigurationArguments.Config, ConfigurationArguments.Set, Batch, Gradient, BenchCommand.Repeat, Published,
            Combinations, Against, NoMemory, BenchCommand.Json, Only,
        };
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult arguments)
    {
        int rounds = BenchCommand.Rounds(arguments);
        Settings settings = BenchCommand.Read(arguments, arguments.GetValue(Batch) is { } batch
            ? [new SettingsOverride("--batch", "train.batch", batch.ToString(CultureInfo.InvariantCulture))]
            : []);
        if (arguments.GetValue(Combinations) && (arguments.GetValue(Published) || arguments.GetValue(Gradient) is { Length: > 0 }))
        {
            throw new UsageException("--combinations measures steps without learned weights; leave out --published and --gradient");
        }

        StepKind[] kinds = arguments.GetValue(Combinations)
            ? StepKind.Combinations(settings.Meta)
            : StepKind.All(settings.Meta, Methods(arguments.GetValue(Gradient) ?? []), arguments.GetValue(Published));
        // before this process allocates any
        long? free = settings.Device == "cuda" && !arguments.GetValue(NoMemory) ? PeakMemory.FreeOnDevice() : null;
        using var bench = new StepBench(settings, ComputeDevice.Configure(settings));
        if (arguments.GetValue(Only) is { } only)
        {
            BenchCommand.Print(PeakMemory.MeasureThisProcess(bench, FindKind(kinds, only), free));
            return 0;
        }

        using ReferenceProgram? yardstick = arguments.GetValue(Against) is { } command
            ? ReferenceProgram.Start(command, bench.Measures)
            : null;
        Dictionary<string, PeakMemory> memory = arguments.GetValue(NoMemory) ? [] : Memory(kinds);
        BenchmarkCase[] own = [.. kinds.Select(bench.Contender)];
        TimingSeries[] series = TimingSeries.MeasureInterleaved([.. own, .. Others(yardstick)], rounds, BenchCommand.Progress(rounds));
        var report = new MetaStepReport(series, Phases(bench, own, Math.Min(rounds, MaxPhaseRounds)), memory);
        report.Show(settings, arguments.GetValue(BenchCommand.Json));
        return 0;
    }

    private static MetaGradientMethod[] Methods(string[] given)
    {
        string[] names =
        [
            .. given.SelectMany(list => list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)),
        ];
        return names.Length == 0 ? DefaultMethods : [.. names.Select(BenchCommand.ParseMethod).Distinct()];
    }

    private static StepKind FindKind(StepKind[] kinds, string name) => kinds.FirstOrDefault(kind => kind.Name == name)
        ?? throw new UsageException($"--only is {name}; it must be one of: {string.Join("; ", kinds.Select(kind => kind.Name))}");

    private static IEnumerable<BenchmarkCase> Others(ReferenceProgram? yardstick) => yardstick is null
        ? []
        :
        [
            new BenchmarkCase("other, plain", () => yardstick.Measure("plain")),
            new BenchmarkCase("other, meta", () => yardstick.Measure("meta")),
        ];

    // Before this process builds its own networks: the children need the memory.
    private static Dictionary<string, PeakMemory> Memory(StepKind[] kinds) => kinds.ToDictionary(kind => kind.Name, kind =>
    {
        Console.Error.WriteLine($"memory of: {kind.Name}");
        return PeakMemory.MeasureChild([Only.Name, kind.Name], BenchCommand.JsonOptions);
    });

    // In separate rounds: on a CUDA device, synchronising at the end of each phase takes time.
    private static Dictionary<string, IReadOnlyDictionary<string, double>> Phases(StepBench bench, BenchmarkCase[] contenders, int rounds)
    {
        PhaseTimes[] times = [.. contenders.Select(_ => new PhaseTimes(TimeProvider.System, bench.Wait))];
        for (int round = 0; round < rounds; round++)
        {
            for (int c = 0; c < contenders.Length; c++)
            {
                times[c].Measure(() => contenders[c].Measure());
            }
        }

        return contenders.Zip(times).ToDictionary(pair => pair.First.Name, pair => pair.Second.Shares);
    }
}
