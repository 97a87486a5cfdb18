using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Checkpoints.TorchFiles;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Reports;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Experiments.Verification;
using Imta.MetaWeight.Meta.Optimisers;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary><c>imta convert</c> as a user runs it, and what other commands make of its files.</summary>
public sealed class ConvertCommandTests(TrainedRun trained) : IClassFixture<TrainedRun>
{
    private const string FullShape = "pytorch_files/l2w_fullshape_views.pth.tar";

    private static readonly string[] Tables =
    [
        "anytime.csv", "dynamic.csv", "exits.csv", "classes.csv", "correlation.csv", "predictions.csv",
    ];

    /// <summary>What the golden published files are of.</summary>
    private static readonly string[] Small =
    [
        "data.dataset=cifar10", "model.msdnet.blocks=2", "model.msdnet.channels=8", "model.msdnet.growth=2", "meta.wpn.hidden=20",
    ];

    [Theory]
    [InlineData(".pth.tar")]
    [InlineData(".pth")]
    [InlineData(".safetensors")]
    public void There_and_back_a_network_has_the_same_tables(string end)
    {
        trained.Run(0, "convert", "run", "there" + end).Output.Should()
            .MatchRegex("^[1-9][0-9]* tensors of the network and 4 of the weight-prediction network, "
                + $"from epoch 2, written to there{end}\n$");
        trained.Run(0, "convert", "there" + end, "back.pt", "--force", "--config", "run/config.yaml").Output.Should()
            .Contain("missing from the file   0\n").And.Contain("with the wrong shape    0\n");

        ShouldHaveTables("run", "back.pt");
        ShouldHaveTables("run", "there" + end, "--config", "run/config.yaml");
    }

    [Fact]
    public void A_RANet_goes_there_and_back_too()
    {
        string[] small =
        [
            "model.backbone=ranet", "model.ranet.blocks=1", "model.ranet.blockStep=1", "model.ranet.step=1", "model.ranet.channels=4",
            "model.ranet.growth=4", "train.epochs=1",
        ];
        trained.Run(0, ["train", "--out", "ranet", .. ImtaProcess.Tiny, .. small.SelectMany(setting => new[] { "--set", setting })]);
        foreach (string file in new[] { "ranet.pth.tar", "ranet.safetensors" })
        {
            trained.Run(0, "convert", "ranet", file);
            trained.Run(0, "convert", file, "ranet.pt", "--force", "--config", "ranet/config.yaml").Output.Should()
                .Contain("unexpected in the file  0\n");
            ShouldHaveTables("ranet", "ranet.pt");
        }
    }

    [Fact]
    public void Policies_and_answers_of_a_foreign_file_are_those_of_the_run()
    {
        trained.Run(0, "convert", "run", "answering.safetensors");
        string[] configured = ["answering.safetensors", "--config", "run/config.yaml"];

        trained.Run(0, "calibrate", "run", "--shares", "1,1,1", "--out", "own.json");
        trained.Run(0, ["calibrate", .. configured, "--shares", "1,1,1"]);
        trained.Run(0, "infer", "run", "--policy", "own.json", "--out", "own.csv");
        trained.Run(0, ["infer", .. configured, "--policy", "answering.safetensors.policy.json", "--out", "foreign.csv"]).Error.Should()
            .NotContain("different checkpoint");

        File.ReadAllText(trained.In("foreign.csv")).Should().Be(File.ReadAllText(trained.In("own.csv")));
    }

    [Fact]
    public void Both_optimisers_go_along()
    {
        trained.Run(0, "convert", "run", "first.pth.tar");
        trained.Run(0, "convert", "first.pth.tar", "own.pt", "--config", "run/config.yaml").Output.Should()
            .MatchRegex("optimisers: momentum of ([0-9]+) of \\1 parameters, Adam moments of 4 of 4\n");
        trained.Run(0, "convert", "own.pt", "second.pth.tar");

        File.ReadAllBytes(trained.In("second.pth.tar")).Should().Equal(File.ReadAllBytes(trained.In("first.pth.tar")));
    }

    [Fact]
    public void A_run_goes_on_from_a_published_checkpoint_of_its_network()
    {
        trained.Run(0, ["train", "--out", "on", .. ImtaProcess.Tiny]);
        trained.Run(0, "convert", "on", "on.pth.tar");
        File.WriteAllText(
            trained.In("on", "config.yaml"),
            File.ReadAllText(trained.In("on", "config.yaml")).Replace("  epochs: 2\n", "  epochs: 3\n", StringComparison.Ordinal));
        trained.Run(0, "convert", "on.pth.tar", "on/checkpoints/latest.pt", "--force", "--config", "on/config.yaml");

        trained.Run(0, "train", "--resume", "on").Output.Should().Contain("resuming after epoch 2 of 3");
        trained.Read<EpochRow>("on", "epochs.csv").Select(row => row.Epoch).Distinct().Should().Equal(1, 2, 3);
    }

    [Fact]
    public void A_published_checkpoint_answers_as_the_published_code()
    {
        string file = GoldenFiles.Find(FullShape);
        using DisposeScope scope = NewDisposeScope();
        using GoldenFile expected = GoldenFiles.Open("pytorch_files/l2w_fullshape_expected.pt");
        trained.Run(0, ["convert", file, "published.pt", .. Configured(Small)]).Output.Should()
            .Contain("matched                 200\n").And.Contain("from epoch 1,");

        Settings settings = SettingsLoader.Parse("", "the test", Small.Append("threads=1").Select(SettingsOverride.Parse));
        foreach ((string source, Settings? given) in new[] { (file, settings), (trained.In("published.pt"), null) })
        {
            using TrainedNetwork network = TrainedNetwork.Load(source, given, []);
            network.Epochs.Should().Be(1);
            Tensor[] logits = network.Network.Forward(expected["x"].to_type(ScalarType.Float32), NormStatistics.Running);
            for (int k = 0; k < logits.Length; k++)
            {
                expected.Compare($"eval_logits/{k}", logits[k], tolerance: 1e-5);
            }
        }
    }

    [Theory]
    [InlineData("441 of the network's tensors are missing", "model.msdnet.blocks=5")]
    [InlineData("classifier.0.linear.weight is [10, 128] and not [100, 128], and 3 more", "data.dataset=cifar100")]
    [
        InlineData(
            "3 have a different shape (meta_state_dict.first_hidden_layer.fc.weight is [20, 2] and not [500, 2], and 2 more)",
            "meta.wpn.hidden=500")
    ]
    public void Another_configuration_is_refused_by_what_does_not_fit(string problem, string wrong)
    {
        ImtaProcess.Result result = trained.Run(
            2, ["convert", GoldenFiles.Find(FullShape), "refused.pt", .. Configured([.. Small, wrong])]);

        result.Output.Should().Contain("missing from the file ").And.Contain("with the wrong shape ");
        result.Error.TrimEnd().Split('\n').Should().ContainSingle().Which.Should().Contain(problem);
        File.Exists(trained.In("refused.pt")).Should().BeFalse();
    }

    [Fact]
    public void What_the_network_has_no_place_for_is_left_out_with_a_warning()
    {
        string[] plain = Configured([.. Small, "meta.enabled=false"]);

        ImtaProcess.Result result = trained.Run(0, ["convert", GoldenFiles.Find(FullShape), "plain.pt", .. plain]);

        result.Error.Should()
            .MatchRegex("^warning: .*: 4 of its tensors are not in the network and are ignored [(]meta_state_dict[.].*\n$");
        result.Output.Should()
            .Contain("unexpected in the file  meta_state_dict.output_layer.weight").And.EndWith(
                "196 tensors of the network and 0 of the weight-prediction network, from epoch 1, written to plain.pt\n");
    }

    [Fact]
    public void Files_of_old_and_new_PyTorch_give_the_same()
    {
        using DisposeScope scope = NewDisposeScope();
        foreach ((string source, string name) in new[] { ("legacy", "old"), ("zip", "new") })
        {
            string file = GoldenFiles.Find($"pytorch_files/l2w_checkpoint_{source}.pth.tar");
            trained.Run(0, "convert", file, $"{name}.safetensors");
            trained.Run(0, "convert", file, $"{name}.pth").Output.Should()
                .Be($"196 tensors of the network and 4 of the weight-prediction network, from epoch 12, written to {name}.pth\n");
        }

        File.ReadAllBytes(trained.In("old.safetensors")).Should().Equal(File.ReadAllBytes(trained.In("new.safetensors")));
        File.ReadAllBytes(trained.In("old.pth")).Should().Equal(File.ReadAllBytes(trained.In("new.pth")));
        TorchDictionary content = TorchFileReader.Read(trained.In("new.pth"));
        (content["arch"], content["best_prec1"], content["is_best"]).Should()
            .Be((new TorchString("msdnet"), new TorchFloat(74.25), new TorchBool(true)));
    }

    /// <summary>These have heads of another width than any network here, so that nothing but their names is to fit.</summary>
    [Theory]
    [InlineData("imta_phase1_module.pth.tar", 174, 22)]
    [InlineData("imta_phase2_module.pth.tar", 177, 30)]
    public void Every_name_of_the_published_phases_is_known(string name, int matched, int otherwise)
    {
        string[] imta = Configured(
            [.. Small, "meta.enabled=false", "modifiers.isc.enabled=true", "loss.ofa.enabled=true", "phase2.epochs=1"]);

        string output = trained.Run(2, ["convert", GoldenFiles.Find($"pytorch_files/{name}"), "narrow.pt", .. imta]).Output;

        output.Should()
            .Contain($"matched                 {matched}\n").And.Contain("missing from the file   0\n").And.Contain(
                "unexpected in the file  0\n").And.Contain(
                $"with the wrong shape    {otherwise}\n").And.Contain(
                $"and {otherwise - 10} more");
    }

    [Fact]
    public void Bare_tensors_without_counts_of_batches_are_a_network()
    {
        using DisposeScope scope = NewDisposeScope();
        Pickle("bare.pth", new TorchDictionary(State("run/checkpoints/latest.pt")
            .Where(entry => !entry.Key.EndsWith("num_batches_tracked", StringComparison.Ordinal))
            .Select(entry => KeyValuePair.Create("module." + entry.Key, entry.Value))));

        ShouldHaveTables("run", "bare.pth", "--config", "run/config.yaml", "--set", "name=bare");
        trained.Run(0, "convert", "bare.pth", "bare.pt", "--config", "run/config.yaml", "--set", "meta.enabled=false").Output.Should()
            .Contain("from an unknown epoch");
        trained.Run(0, "eval", "bare.pt").Error.Should().NotContain("is from epoch", "nobody knows");
        trained.Refusal("convert", "bare.pth", "meta.pt", "--config", "run/config.yaml").Should()
            .Contain("4 of the network's tensors are missing (meta_state_dict.").And.Contain("meta.enabled=false");
    }

    /// <summary>As IMTA saves them: DataParallel around the network, and around the frozen network in it.</summary>
    [Fact]
    public void Both_phases_go_there_and_back_under_the_published_names()
    {
        using DisposeScope scope = NewDisposeScope();
        string[] phases =
        [
            "--set", "meta.enabled=false", "--set", "modifiers.isc.enabled=true", "--set", "loss.ofa.enabled=true", "--set",
            "phase2.epochs=1", "--set", "train.epochs=1",
        ];
        trained.Run(0, ["train", "--out", "two", .. ImtaProcess.Tiny, .. phases]);
        trained.Run(0, "convert", "two", "two.pth.tar").Output.Should().Contain("from epoch 1,", "epochs are the phase's");
        TorchDictionary published = TorchFileReader.Read(trained.In("two.pth.tar"));
        published["state_dict"] = new TorchDictionary(State("two.pth.tar").Select(entry => KeyValuePair.Create(
            entry.Key.StartsWith("net.", StringComparison.Ordinal)
                ? $"module.net.module.{entry.Key["net.".Length..]}"
                : $"module.{entry.Key}", entry.Value)));
        published.Dictionary("optimizer")["param_groups"].Parts.Should().HaveCount(2);
        TorchFileWriter.Write(trained.In("imta.pth.tar"), published);

        trained.Run(0, "convert", "imta.pth.tar", "two.pt", "--config", "two/config.yaml").Output.Should()
            .MatchRegex("momentum of ([0-9]+) of \\1 parameters");
        ShouldHaveTables("two", "two.pt");
        ShouldHaveTables("two", "imta.pth.tar", "--config", "two/config.yaml");

        trained.Run(0, "convert", "two/checkpoints/phase1.pt", "one.safetensors");
        trained.Run(0, "convert", "one.safetensors", "one.pt", "--config", "two/config.yaml");
        trained.Run(0, ["train", "--out", "second", .. ImtaProcess.Tiny, .. phases, "--set", "phase2.from=one.pt"]);
        File.ReadAllText(trained.In("second", "anytime.csv")).Should().Be(File.ReadAllText(trained.In("two", "anytime.csv")));
    }

    [Fact]
    public void PyTorch_reads_the_published_layout_and_its_optimisers_go_on()
    {
        trained.Run(0, "convert", "run", "torch.pth.tar");

        string output = PythonTorch.Run("""
            import sys, torch
            c = torch.load(sys.argv[1], map_location='cpu')
            buffers = ('running_mean', 'running_var', 'num_batches_tracked')
            def parameters(state): return [torch.nn.Parameter(t) for n, t in state.items() if not n.endswith(buffers)]
            theta, phi = parameters(c['state_dict']), parameters(c['meta_state_dict'])
            sgd, adam = torch.optim.SGD(theta, lr=1, momentum=0.5), torch.optim.Adam(phi, lr=1)
            sgd.load_state_dict(c['optimizer'])
            adam.load_state_dict(c['meta_optimizer'])
            for p in theta + phi: p.grad = torch.zeros_like(p)
            assert all(sgd.state[p]['momentum_buffer'].shape == p.shape for p in theta)
            assert all(adam.state[p]['exp_avg'].shape == p.shape for p in phi)
            groups, steps = (sgd.param_groups[0]['momentum'], adam.param_groups[0]['betas']), int(adam.state[phi[0]]['step'])
            print(list(c), c['epoch'], c['arch'], *groups, steps)
            sgd.step(), adam.step()
            """, trained.In("torch.pth.tar"));

        // 48 steps: two a batch, of two epochs of twelve batches.
        output.Should()
            .Be("['epoch', 'arch', 'state_dict', 'optimizer', 'meta_state_dict', 'meta_optimizer'] 2 msdnet 0.9 (0.9, 0.999) 48\n");
    }

    [Fact]
    public void Wrong_input_is_one_line_and_leaves_nothing()
    {
        using DisposeScope scope = NewDisposeScope();
        trained.Run(0, "convert", "run", "good.pth");
        File.WriteAllBytes(trained.In("torn.pth"), File.ReadAllBytes(trained.In("good.pth"))[..5000]);
        File.WriteAllBytes(trained.In("empty.pth"), []);
        File.WriteAllText(trained.In("text.pth"), "epoch,loss\n1,0.5\n");
        File.WriteAllText(trained.In("text.safetensors"), "a table {\n");
        Pickle("other.pth", new TorchDictionary { ["epoch"] = 3 });
        Pickle("twice.pth", new TorchDictionary { ["module.a"] = ones(2), ["a"] = ones(2) });
        Directory.CreateDirectory(trained.In("folder.pt"));

        foreach ((string problem, string[] arguments) in new (string, string[])[]
        {
            ("torn.pth does not contain a readable network", ["torn.pth", "no.pth"]),
            ("empty.pth does not contain a readable network: it is empty", ["empty.pth", "no.pth"]),
            ("text.pth does not contain a readable network", ["text.pth", "no.pth"]),
            ("text.safetensors does not contain a readable network", ["text.safetensors", "no.pth"]),
            ("neither a dictionary state_dict nor tensors", ["other.pth", "no.pth"]),
            ("two values become a without the prefixes model., module., _orig_mod", ["twice.pth", "no.pth"]),
            ("has no checkpoints/latest.pt", ["folder.pt", "no.pth"]),
            ("missing does not exist", ["missing", "no.pth"]),
            ("whose extension is not supported; use .pt, .pth.tar, .pth or .safetensors", ["run", "no.bin"]),
            ("choose another OUT", ["run", "no/such/folder.pth"]),
            ("it is a folder", ["run", "folder.pt"]),
            ("OUT is the same file as IN", ["run", "./run/checkpoints/latest.pt"]),
            ("OUT is the same file as IN", ["good.pth", "good.pth"]),
            ("good.pth is a PyTorch checkpoint, which does not contain the configuration", ["good.pth", "no.pt"]),
            ("omit --config and --set", ["run", "no.pth", "--config", "run/config.yaml"]),
            ("give one with --config", ["good.pth", "no.pt", "--set", "seed=1"]),
            ("configuration file not found", ["good.pth", "no.pt", "--config", "missing.yaml"]),
            ("Unknown option --confg", ["good.pth", "no.pt", "--confg", "run/config.yaml"]),
            ("OUT is empty", ["good.pth", ""]),
            ("Required argument 'OUT' missing", ["run"]),
        })
        {
            trained.Refusal(["convert", .. arguments]).Should().Contain(problem);
            Directory.GetFiles(trained.Folder, "no.*").Should().BeEmpty(problem);
        }

        trained.Refusal("eval", "good.pth").Should()
            .Contain("good.pth is a PyTorch checkpoint, which does not contain its configuration; give --config CONFIG.yaml");
        trained.Refusal("eval", "run", "--config", "run/config.yaml").Should().Contain("contains its configuration");
        trained.Refusal("eval", "good.pth", "--config", "run/config.yaml", "--set", "model.msdnet.growth=3").Should()
            .Contain("have a different shape");
        Directory.GetFiles(trained.Folder, "*.partial").Should().BeEmpty();
    }

    private static string[] Configured(string[] settings)
        =>
        [
            "--config", Path.Combine(AppContext.BaseDirectory, "configs", "cifar10-l2w.yaml"),
            .. settings.SelectMany(setting => new[] { "--set", setting }),
        ];

    private void ShouldHaveTables(string run, params string[] source)
    {
        trained.Run(0, ["eval", .. source, "--out", "tables", "--force"]).Error.Should().NotContain("is from epoch");
        foreach (string table in Tables)
        {
            File.ReadAllText(trained.In("tables", table)).Should().Be(File.ReadAllText(trained.In(run, table)), table);
        }
    }

    private void Pickle(string file, TorchDictionary content) => TorchFileWriter.Write(trained.In(file), content);

    private Dictionary<string, Tensor> State(string checkpoint)
        => TorchFileReader.Read(trained.In(checkpoint)).Dictionary("state_dict").Tensors();
}
