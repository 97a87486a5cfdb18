namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>Command lines that are wrong, for every command: one line that says what, what may be meant, and where help is.</summary>
public sealed class UsageErrorsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string, string[]> Wrong => new()
    {
        { "Unknown command trian; did you mean train? See imta --help.", ["trian"] },
        { "Unknown command evaluate; did you mean eval? See imta --help.", ["evaluate", "run"] },
        { "Unknown command help. See imta --help.", ["help"] },
        { "Unknown command ifner; did you mean infer? See imta bench --help.", ["bench", "ifner"] },
        { "Unknown option --repaet; did you mean --repeat? See imta bench step --help.", ["bench", "step", "--repaet", "3"] },
        { "Unknown option --jsno; did you mean --json? See imta doctor --help.", ["doctor", "--jsno"] },
        { "Unknown option --nonsense. See imta train --help.", ["train", "--nonsense"] },
        { "Unknown option --nonsense. See imta sweep --help.", ["sweep", "--nonsense"] },
        { "Unknown option --nonsense. See imta verify --help.", ["verify", "--nonsense"] },
        { "Unknown option --polocy; did you mean --policy? See imta infer --help.", ["infer", "--polocy", "p.json", "--policy", "p.json"] },
        { "--set needs a value, but --out follows it. See imta train --help.", ["train", "--set", "--out", "o1"] },
        { "--macs needs a value, but --out follows it. See imta calibrate --help.", ["calibrate", "run", "--macs", "--out", "p.json"] },
        { "Required argument missing for option: '--out'. See imta eval --help.", ["eval", "run", "--out"] },
        { "Required argument 'RUN|CHECKPOINT' missing for command: 'eval'. See imta eval --help.", ["eval"] },
        { "Unrecognized command or argument 'b'. See imta convert --help.", ["convert", "in", "out.pt", "b"] },
        { "RUN|SWEEP is empty. See imta report --help.", ["report", ""] },
        { "CONFIG.yaml is empty. See imta cost --help.", ["cost", ""] },
        { "--data is empty. See imta sweep --help.", ["sweep", "s.yaml", "--data", ""] },
        { "--explain is empty. See imta config --help.", ["config", "--explain", ""] },
    };

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Is_one_line(string line, string[] arguments)
    {
        ImtaProcess.Result result = ImtaProcess.Run(_folder.Path, arguments);

        result.Error.Should().Be($"imta: {line}\n", result.All);
        result.Code.Should().Be(2);
        result.Output.Should().BeEmpty();
    }

    [Fact]
    public void Help_and_version_are_no_errors()
    {
        _folder.Run(0, "eval", "--help").Output.Should().Contain("--policy");
        _folder.Run(0, "bench", "-h").Output.Should().Contain("meta-step");
        _folder.Run(0, "--version").Error.Should().BeEmpty();
    }

    /// <summary>The commands that messages advise can be pasted, however the program was started.</summary>
    [Fact]
    public void Commands_are_named_as_the_program_was_called()
    {
        string library = Path.Combine(AppContext.BaseDirectory, "imta.dll"), program = Path.Combine(AppContext.BaseDirectory, "imta");
        string path = Environment.GetEnvironmentVariable("PATH")!;

        Advised([("IMTA_CALLED_AS", "")], "dotnet", library).Should().Be($"dotnet {library} doctor --help");
        Advised([("IMTA_CALLED_AS", "./imta")], "dotnet", library).Should().Be("./imta doctor --help");
        Advised([("IMTA_CALLED_AS", "../my code/imta")], "dotnet", library).Should().Be("'../my code/imta' doctor --help");
        Advised([("IMTA_CALLED_AS", ""), ("PATH", $"{AppContext.BaseDirectory}{Path.PathSeparator}{path}")], program).Should()
            .Be("imta doctor --help");
        Advised([("IMTA_CALLED_AS", "")], program).Should().Be($"{program} doctor --help");
        if (!OperatingSystem.IsWindows())
        {
            string tool = _folder.In("imta"); // as dotnet tool install makes it
            File.CreateSymbolicLink(tool, program);
            string found = $"{_folder.Path}{Path.PathSeparator}{path}";
            Advised([("IMTA_CALLED_AS", ""), ("PATH", found)], tool).Should().Be("imta doctor --help");
        }

        string host = path.Split(Path.PathSeparator).Select(folder => Path.Combine(folder, "dotnet")).First(File.Exists);
        host = File.ResolveLinkTarget(host, returnFinalTarget: true)?.FullName ?? host;
        Advised([("IMTA_CALLED_AS", ""), ("PATH", "/nowhere")], host, library).Should().Be($"{host} {library} doctor --help");
    }

    private string Advised((string, string)[] environment, params string[] program)
    {
        using ImtaProcess process = ImtaProcess.StartCommand(_folder.Path, [.. program, "doctor", "stray"], environment);
        string error = process.End().Error;
        const string Start = "imta: Unrecognized command or argument 'stray'. See ", End = ".\n";
        error.Should().StartWith(Start).And.EndWith(End);
        return error[Start.Length..^End.Length];
    }
}
