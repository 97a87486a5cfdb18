using System.Text;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;
using Imta.MetaWeight.Tests.Docs;

namespace Imta.MetaWeight.Tests.Experiments.Configuration;

public sealed class ConfigurationFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("imta-configuration-").FullName;

    private static string Configs() => Path.Combine(MarkdownPage.Repository(), "configs");

    public static TheoryData<string> Names()
        =>
        [
            .. Directory.GetFiles(Configs(), "*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(Configs(), file))
                .Where(file => !file.StartsWith("sweeps/", StringComparison.Ordinal))
                .Order(StringComparer.Ordinal),
        ];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string File(string name, byte[] content)
    {
        var path = Path.Combine(_folder, name);
        System.IO.File.WriteAllBytes(path, content);
        return path;
    }

    private static string Complaint(string path)
    {
        var message = FluentActions.Invoking(() => SettingsLoader.Load(path)).Should().Throw<UsageException>().Which.Message;
        message.Should().NotContain("\n");
        return message;
    }

    [Fact]
    public void A_file_is_read_with_or_without_byte_order_mark_and_with_any_line_end()
    {
        SettingsLoader.Load(File("plain.yaml", "seed: 3\n"u8.ToArray())).Seed.Should().Be(3);
        SettingsLoader.Load(File("mark.yaml", [.. Encoding.UTF8.Preamble, .. "seed: 3\r\nname: a\r\n"u8])).Should()
            .Be(new Settings { Seed = 3, Name = "a" });
    }

    [Fact]
    public void A_message_names_the_file_as_given_and_the_line()
    {
        var path = File("run.yaml", "# first\nseed: 1\nmeta:\n  q: none\n"u8.ToArray());
        Complaint(path).Should().Be($"{path}:4: meta.q is none; it must be a number > 0");
    }

    /// <summary>A default that a file states could not be changed by a preset.</summary>
    [Theory]
    [MemberData(nameof(Names))]
    public void Included_configurations_leave_to_the_preset_what_it_sets(string name)
    {
        Settings settings = SettingsLoader.Load(Path.Combine(Configs(), name), [new("--set", "preset", "published")]);

        DerivedDefaults.Published.Should().OnlyContain(entry => SettingsSchema.Find(entry.Key)!.Format(settings) == entry.Value);
    }

    [Fact]
    public void A_file_that_is_not_there_is_named()
    {
        var path = Path.Combine(_folder, "none.yaml");
        Complaint(path).Should().Be($"{path}: configuration file not found");
        Complaint(Path.Combine(path, "none.yaml")).Should().EndWith("none.yaml: configuration file not found");
    }

    [Fact]
    public void A_folder_is_no_configuration() => Complaint(_folder).Should().Be($"{_folder} is a folder; expected a configuration file");

    [Theory]
    [InlineData("")]
    [InlineData("a\0b")]
    public void A_path_that_is_none_is_refused(string path) => Complaint(path).Should().Contain(" cannot be read: ");

    [Fact]
    public void A_file_without_permission_is_refused()
    {
        Skip.If(OperatingSystem.IsWindows() || Environment.IsPrivilegedProcess, "every file can be read by this user");
        var path = File("closed.yaml", "seed: 1"u8.ToArray());
        if (!OperatingSystem.IsWindows())
        {
            System.IO.File.SetUnixFileMode(path, UnixFileMode.None);
        }

        Complaint(path).Should().StartWith($"{path} cannot be read: ");
    }

    [Fact]
    public void What_is_no_text_is_refused()
    {
        var binary = new byte[4096];
        new Random(1).NextBytes(binary);
        var path = File("junk.yaml", binary);
        Complaint(path).Should().Be($"{path} is not UTF-8 text; expected a configuration file");

        var zeros = File("zeros.yaml", new byte[100]);
        Complaint(zeros).Should().Be($"{zeros}:1: the control character U+0000 is not allowed in a configuration");

        var wide = File("utf16.yaml", [.. Encoding.Unicode.Preamble, .. Encoding.Unicode.GetBytes("seed: 1")]);
        Complaint(wide).Should().Be($"{wide} is not UTF-8 text; expected a configuration file");
    }

    [Fact]
    public void A_file_of_more_than_a_megabyte_is_refused()
    {
        var content = Encoding.ASCII.GetBytes("seed: 3\n#" + new string('x', 1_000_000 - 9));
        SettingsLoader.Load(File("full.yaml", content)).Seed.Should().Be(3);
        var path = File("more.yaml", [.. content, (byte)'x']);
        Complaint(path).Should().Be($"{path} is larger than 1 MB; expected a configuration file");
    }

    [Fact]
    public void An_endless_file_is_refused()
    {
        Skip.IfNot(System.IO.File.Exists("/dev/zero"), "there is no /dev/zero here");
        Complaint("/dev/zero").Should().Be("/dev/zero is larger than 1 MB; expected a configuration file");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_configuration_of_the_repository_loads_and_says_what_it_is(string name)
    {
        var path = Path.Combine(Configs(), name);
        SettingsLoader.Load(path).Name.Should().Be(Path.GetFileNameWithoutExtension(name));

        var lines = System.IO.File.ReadAllLines(path);
        var comment = lines.TakeWhile(line => line.StartsWith('#')).ToArray();
        comment.Length.Should().BeInRange(2, 3);
        comment[^1].Should().Be(name switch
        {
            "quickstart.yaml" => "# ./imta train",
            "benchmark.yaml" => "# ./imta bench meta-step",
            _ => $"# ./imta train configs/{name} --data DIR",
        });
    }

    [Fact]
    public void The_repository_has_its_configurations() => Directory.GetFiles(Configs()).Select(Path.GetFileName).Should().Contain(
    [
        "quickstart.yaml", "benchmark.yaml",
        "cifar10-l2w.yaml", "cifar10-plain.yaml", "cifar100-l2w.yaml", "cifar100-plain.yaml", "cifar10-small.yaml",
        "cifar10-small-plain.yaml",
    ]);

    /// <summary>
    /// IMTA, section 4: batch 64, Nesterov 0.9, weight decay 1e-4; phases of 300 and 180 epochs, the rate 0.1 divided by 10 twice.
    /// </summary>
    [Theory]
    [InlineData("imta-cifar10-6", 6, true, true, true)]
    [InlineData("imta-cifar10-8", 8, true, true, true)]
    [InlineData("imta-cifar100-4", 4, true, true, true)]
    [InlineData("imta-cifar100-5", 5, true, true, true)]
    [InlineData("imta-cifar100-6", 6, true, true, true)]
    [InlineData("imta-cifar100-7", 7, true, true, true)]
    [InlineData("imta-cifar100-8", 8, true, true, true)]
    [InlineData("imta-ablation-none", 6, false, false, false)]
    [InlineData("imta-ablation-ge", 6, true, false, false)]
    [InlineData("imta-ablation-isc", 6, false, true, false)]
    [InlineData("imta-ablation-ofa", 6, false, false, true)]
    [InlineData("imta-ablation-all", 6, true, true, true)]
    public void The_recipe_of_IMTA_is_that_of_the_paper(string name, int exits, bool ge, bool isc, bool ofa)
    {
        var settings = SettingsLoader.Load(Path.Combine(Configs(), "imta", name + ".yaml"));
        var second = settings.Phase2;

        (settings.Model.Exits(), settings.Meta.Enabled, settings.Modifiers.Ge.Enabled, settings.Modifiers.Isc.Enabled,
            settings.Loss.Ofa.Enabled)
            .Should().Be((exits, false, ge, isc, ofa));
        settings.Train.Should()
            .Be(new TrainSettings
            {
                Epochs = 300,
                Batch = 64,
                Rate = 0.1,
                Schedule = RateScheduleKind.MultiStep,
                Milestones = [150, 225],
                Nesterov = true,
            });
        second.Epochs.Should().Be(isc || ofa ? 180 : 0);
        if (second.Epochs > 0)
        {
            (second.Batch, second.Rate, second.Schedule, second.Decay, second.Momentum, second.Nesterov, second.WeightDecay)
                .Should().Be((64, 0.1, RateScheduleKind.MultiStep, 0.1, 0.9, true, 1e-4));
            second.Milestones.Should().Equal(90, 135);
        }
    }

    [Theory]
    [InlineData("cifar10-l2w", "cifar10-plain")]
    [InlineData("cifar100-l2w", "cifar100-plain")]
    [InlineData("cifar10-small", "cifar10-small-plain")]
    public void A_plain_baseline_differs_in_nothing_but_name_and_weighting(string weighted, string plain)
    {
        var learned = SettingsLoader.Load(Path.Combine(Configs(), weighted + ".yaml"));
        var baseline = SettingsLoader.Load(Path.Combine(Configs(), plain + ".yaml"));
        learned.Meta.Enabled.Should().BeTrue();
        baseline.Should().Be(learned with { Name = plain, Meta = learned.Meta with { Enabled = false } });
    }

    [Theory]
    [InlineData("cifar10-l2w", nameof(DatasetKind.Cifar10))]
    [InlineData("cifar100-l2w", nameof(DatasetKind.Cifar100))]
    public void The_published_recipe_is_that_of_the_paper(string name, string dataset)
    {
        var settings = SettingsLoader.Load(Path.Combine(Configs(), name + ".yaml"));
        settings.Should().Be(new Settings
        {
            Name = name,
            Data = new() { Dataset = Enum.Parse<DatasetKind>(dataset) },
            Model = new()
            {
                Initialisation = Initialisation.Published,
                Backbone = new Choice<Backbone>(Registries.Backbones).With("msdnet", new MsdNetOptions
                {
                    Blocks = 5,
                    Base = 1,
                    Step = 1,
                    StepMode = StepMode.LinGrow,
                    Channels = 16,
                    Growth = 6,
                    GrowthFactors = [1, 2, 4],
                    BottleneckFactors = [1, 2, 4],
                }),
            },
            Meta = new()
            {
                Q = 0.75,
                Epsilon = 0.8,
                Centring = Centring.Col,
                Interval = 1,
                Wpn = new() { Hidden = 500, Layers = 1 },
                Optimiser = new() { Rate = 1e-4, WeightDecay = 1e-4 },
            },
            Train = new()
            {
                Epochs = 300,
                Batch = 1024,
                Rate = 0.8,
                Schedule = RateScheduleKind.Cosine,
                Momentum = 0.9,
                WeightDecay = 1e-4,
            },
        });
    }
}
