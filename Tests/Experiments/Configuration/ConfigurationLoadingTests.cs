using System.Globalization;
using System.Text;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta.Fusion;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Experiments.Configuration;

public sealed class ConfigurationLoadingTests
{
    private static Settings Parse(string yaml, params string[] sets) =>
        SettingsLoader.Parse(yaml, "run.yaml", sets.Select(SettingsOverride.Parse));

    private static string Complaint(string yaml, params string[] sets)
    {
        var message = FluentActions.Invoking(() => Parse(yaml, sets)).Should().Throw<UsageException>().Which.Message;
        message.Should().NotContainAny("\n", "\r", "   at ", "Exception");
        return message;
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n\n")]
    [InlineData("# only a comment\n")]
    [InlineData("---\n")]
    [InlineData("{}")]
    [InlineData("null")]
    [InlineData("meta:\ntrain: {}\n")]
    public void Nothing_means_all_defaults(string yaml) => Parse(yaml).Should().Be(new Settings());

    [Theory]
    [InlineData("msdnet", "[1, 2, 4, 4]")]
    [InlineData("ranet", "[1, 2, 4]")]
    public void Scales_of_an_MSDNet_follow_from_the_images_and_those_of_no_other_network_change(string backbone, string factors)
    {
        string given = $"data: {{dataset: imagenet}}\nmodel:\n  backbone: {backbone}\n";

        Parse(given).Should().Be(Parse($"{given}  msdnet: {{growthFactors: {factors}, bottleneckFactors: {factors}}}\n"));
    }

    [Fact]
    public void Every_kind_of_value_is_read()
    {
        var settings = Parse("""
            name: three        # text
            seed: 7
            data:
              dataset: cifar100
              root: '/data/with space'
              trainLimit: 4000
              testLimit: ~
              augment: false
            model:
              msdnet: {stepMode: even, growthFactors: [1, 2], bottleneckFactors: [1, 2], reduction: 1}
            meta:
              centring: mat
              epsilon: 0
              q: 1.95
              optimiser:
                rate: 1e-3
            train:
              milestones:
                - 5
                - 9
              weightDecay: 5.0E-4
            """);

        settings.Should().Be(new Settings
        {
            Name = "three",
            Seed = 7,
            Data = new() { Dataset = DatasetKind.Cifar100, Root = "/data/with space", TrainLimit = 4000, Augment = false },
            Model = new()
            {
                Backbone = new Choice<Backbone>(Registries.Backbones).With(
                    "msdnet", new MsdNetOptions
                    {
                        StepMode = StepMode.Even,
                        GrowthFactors = [1, 2],
                        BottleneckFactors = [1, 2],
                        Reduction = 1,
                    }),
            },
            Meta = new() { Centring = Centring.Mat, Epsilon = 0, Q = 1.95, Optimiser = new() { Rate = 1e-3 } },
            Train = new() { Milestones = [5, 9], WeightDecay = 5e-4 },
            Phase2 = new() { Milestones = [5, 9], WeightDecay = 5e-4 },
        });
    }

    [Fact]
    public void Phase_two_is_as_phase_one_where_nothing_is_given()
    {
        var settings = Parse("train: {batch: 64, rate: 0.1, nesterov: true}\nphase2: {epochs: 5, rate: 0.01}", "train.momentum=0.8");

        settings.Phase2.Should().Be(new Phase2Options { Epochs = 5, Batch = 64, Rate = 0.01, Nesterov = true, Momentum = 0.8 });
        SettingsLoader.Parse(SettingsWriter.Write(settings), "written").Should().Be(settings, "what was derived is written down");
    }

    [Fact]
    public void A_preset_changes_defaults_and_not_what_is_given()
    {
        Parse("").Should().Be(Parse("preset: paper"));
        var published = Parse("preset: published\nmodifiers: {isc: {gradient: stop}}");

        published.Should().Be(new Settings
        {
            Preset = Preset.Published,
            Model = new() { Initialisation = Initialisation.Published },
            Modifiers = new() { MetaGf = new() { Averaging = FusionAveraging.Replaced, TrailingStep = true } },
            Loss = new() { Ofa = new() { Reduction = DistillationReduction.ElementMean } },
            Phase2 = new() { FrozenNorm = FrozenNorm.Moving },
        });
        Parse("preset: published").Modifiers.Isc.Gradient.Should().Be(TransferGradient.Flow);
    }

    [Fact]
    public void Numbers_do_not_depend_on_the_culture()
    {
        var before = CultureInfo.CurrentCulture;
        try
        {
            CultureInfo.CurrentCulture = new CultureInfo("") { NumberFormat = { NumberDecimalSeparator = ",", NegativeSign = "~" } };
            Parse("meta: {q: 0.5}").Meta.Q.Should().Be(0.5);
            Complaint("meta: {q: -0.5}").Should().Be("run.yaml:1: meta.q is -0.5; it must be a number > 0");
            Complaint("train: {nesterov: true, dampening: 0.25}").Should().EndWith("they are 0.9 and 0.25");
            SettingsWriter.Write(new Settings()).Should().Contain("q: 0.75\n");
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void An_override_beats_the_file_and_a_later_one_an_earlier_one()
    {
        var settings = Parse(
            "meta: {q: 0.5, centring: row}", "meta.q=1.5", " meta.q = 2", "train.milestones=[1, 2, 3]", "meta.centring=mat", "name=null");
        settings.Meta.Q.Should().Be(2);
        settings.Meta.Centring.Should().Be(Centring.Mat);
        settings.Train.Milestones.Should().Equal(1, 2, 3);
        settings.Name.Should().BeNull();
    }

    [Theory]
    [InlineData("/data #1: new")]
    [InlineData("null")]
    [InlineData("[a]")]
    [InlineData("=x=")]
    public void Text_from_the_command_line_is_taken_as_it_stands(string folder) =>
        SettingsLoader.Parse("", "run.yaml", [new SettingsOverride("--data", "data.root", folder, IsText: true)]).Data.Root.Should()
            .Be(folder);

    [Theory]
    [InlineData("meta:\n  epsilom: 1\n", "run.yaml:2: unknown key meta.epsilom; did you mean meta.epsilon?")]
    [InlineData("meta:\n  Epsilon: 1\n", "run.yaml:2: unknown key meta.Epsilon; did you mean meta.epsilon?")]
    [InlineData("epsilon: 1\n", "run.yaml:1: unknown key epsilon; did you mean meta.epsilon?")]
    [InlineData("train:\n  epsilon: 1\n", "run.yaml:2: unknown key train.epsilon; did you mean meta.epsilon?")]
    [InlineData("rate: 1\n", "run.yaml:1: unknown key rate; did you mean train.rate?")]
    [InlineData("model:\n  blocks: 3\n", "run.yaml:2: unknown key model.blocks; did you mean model.msdnet.blocks or model.ranet.blocks?")]
    [
        InlineData(
            "modifiers:\n  enabled: true\n",
            "run.yaml:2: unknown key modifiers.enabled; did you mean modifiers.metaGf.enabled or modifiers.ge.enabled or "
            + "modifiers.isc.enabled or modifiers.boosting.enabled?")
    ]
    [InlineData("\nmeta:\n\n  optimizer:\n    rate: 1\n", "run.yaml:4: unknown key meta.optimizer; did you mean meta.optimiser?")]
    [InlineData("trian: {}\n", "run.yaml:1: unknown key trian; did you mean train?")]
    [InlineData("batchSize: 1\n", "run.yaml:1: unknown key batchSize; did you mean train.batch?")]
    [InlineData("train:\n  learningRate: 1\n", "run.yaml:2: unknown key train.learningRate; did you mean train.rate?")]
    [InlineData("train:\n  lr: 1\n", "run.yaml:2: unknown key train.lr; the closest match is train.rate")]
    [InlineData("data: {imbalances: {type: exp}}\n", "run.yaml:1: unknown key data.imbalances; did you mean data.imbalance?")]
    [InlineData("meta: {q: 1, <<: {}}", "run.yaml:1: unknown key meta.<<; did you mean meta.q?")]
    public void An_unknown_key_is_refused_with_the_nearest(string yaml, string message) => Complaint(yaml).Should().Be(message);

    [Theory]
    [InlineData("meta.epsilom=1", "--set meta.epsilom=1: unknown key meta.epsilom; did you mean meta.epsilon?")]
    [InlineData("meta.q=0", "--set meta.q=0: meta.q is 0; it must be a number > 0")]
    [InlineData("meta.q=", "--set meta.q=: meta.q has no value; it must be a number > 0")]
    [InlineData("meta=1", "--set meta=1: meta is 1; it is a group with the keys enabled, weights, gradient, memory, lookahead, q, "
        + "objective, epsilon, centring, features, interval, source, perClass, wpn, optimiser")]
    [InlineData("meta", "--set meta: expected key=value, such as --set meta.q=0.75")]
    [InlineData("=1", "--set =1: expected key=value, such as --set meta.q=0.75")]
    [InlineData("meta.q={a: 1}", "--set meta.q={a: 1}: expected a single value; text containing ': ' needs quotes")]
    [InlineData("name=#3", "--set name=#3: no value; a value that starts with # needs quotes")]
    [InlineData("name=*a", "--set name=*a: aliases (*name) are not supported; write the value itself")]
    [InlineData("train.milestones=[1, [2]]", "--set train.milestones=[1, [2]]: the items of the value must be single values")]
    [InlineData("name=a\u001b[2J", "--set name=a\\u001b[2J: the control character U+001B is not allowed in a configuration")]
    public void An_override_is_checked_as_the_file_is(string set, string message) => Complaint("", set).Should().Be(message);

    [Fact]
    public void An_override_that_is_no_yaml_is_refused() =>
        Complaint("", "train.milestones=[1, 2").Should().StartWith("--set train.milestones=[1, 2: invalid YAML: ");

    [Theory]
    [InlineData("seed: seven", "run.yaml:1: seed is seven; it must be an integer >= 0")]
    [InlineData("seed: 1.5", "run.yaml:1: seed is 1.5; it must be an integer >= 0")]
    [InlineData("seed: 99999999999", "run.yaml:1: seed is 99999999999; it must be an integer >= 0, at most 2147483647")]
    [InlineData("seed: \"7\"", "run.yaml:1: seed is \"7\"; it must be an integer >= 0")]
    [InlineData("seed:", "run.yaml:1: seed has no value; it must be an integer >= 0")]
    [InlineData("device: cpus", "run.yaml:1: device is cpus; it must be one of cpu, cuda")]
    [InlineData("name: a/b", "run.yaml:1: name is a/b; it must be at most 100 letters, digits, '.', '_' or '-', or null")]
    [InlineData("name: ''", "run.yaml:1: name is \"\"; it must be at most 100 letters, digits, '.', '_' or '-', or null")]
    [InlineData("meta: {enabled: yes}", "run.yaml:1: meta.enabled is yes; it must be true or false")]
    [InlineData("meta: {enabled: 'true'}", "run.yaml:1: meta.enabled is \"true\"; it must be true or false")]
    [InlineData("meta: {centring: Col}", "run.yaml:1: meta.centring is Col; it must be one of col, row, mat")]
    [InlineData("meta: {centring: 0}", "run.yaml:1: meta.centring is 0; it must be one of col, row, mat")]
    [
        InlineData(
            "meta: {gradient: backward}",
            "run.yaml:1: meta.gradient is backward; it must be one of forward, unrolled, finiteDifference")
    ]
    [InlineData("model: {msdnet: {stepMode: lin_grow}}", "run.yaml:1: model.msdnet.stepMode is lin_grow; it must be one of even, linGrow")]
    [InlineData("meta: {q: [1]}", "run.yaml:1: meta.q is [1]; it must be a number > 0")]
    [InlineData("meta: {q: 1,5}", "run.yaml:1: unknown key meta.5; did you mean meta.q?")]
    [InlineData("meta:\n  q:\n    p: 1", "run.yaml:2: meta.q is a group of keys; it must be a number > 0")]
    [InlineData("train: {milestones: 5}", "run.yaml:1: train.milestones is 5; it must be a list of integers >= 1, such as [150, 225]")]
    [
        InlineData(
            "train: {milestones: [5, x]}",
            "run.yaml:1: train.milestones is [5, x]; it must be a list of integers >= 1, such as [150, 225]")
    ]
    [InlineData("train: {milestones: [5, ]\n }", null)]
    [InlineData("train: 5", "run.yaml:1: train is 5; it is a group with the keys initialise, epochs, batch, rate, schedule, milestones, "
        + "decay, warmup, momentum, dampening, nesterov, weightDecay")]
    [InlineData("data: {trainLimit: all}", "run.yaml:1: data.trainLimit is all; it must be an integer >= 1, or null")]
    public void A_value_of_the_wrong_type_is_refused_with_what_is_wanted(string yaml, string? message)
    {
        if (message is null)
        {
            Parse(yaml).Train.Milestones.Should().Equal(5);
        }
        else
        {
            Complaint(yaml).Should().Be(message);
        }
    }

    [Theory]
    [InlineData(".nan")]
    [InlineData("NaN")]
    [InlineData(".inf")]
    [InlineData("Infinity")]
    [InlineData("∞")]
    [InlineData("1e999")]
    [InlineData("-1")]
    [InlineData("0")]
    [InlineData("0.0")]
    [InlineData("-0.0")]
    [InlineData("1_000")]
    [InlineData("0x10")]
    public void Q_takes_a_finite_number_above_zero(string q)
        => Complaint($"meta:\n  q: {q}").Should().Be($"run.yaml:2: meta.q is {q}; it must be a number > 0");

    [Theory]
    [InlineData("seed", "-1", ">= 0")]
    [InlineData("threads", "-1", "[0, 4096]")]
    [InlineData("data.validation", "-1", ">= 0")]
    [InlineData("data.testLimit", "0", ">= 1, or null")]
    [InlineData("model.msdnet.blocks", "0", "[1, 100]")]
    [InlineData("model.msdnet.reduction", "-0.1", "[0, 1]")]
    [InlineData("model.msdnet.reduction", "1.01", "[0, 1]")]
    [InlineData("model.msdnet.growthFactors", "[]", "[1, 64]")]
    [InlineData("model.msdnet.growthFactors", "[1, 0]", "[1, 64]")]
    [InlineData("meta.epsilon", "-0.1", ">= 0")]
    [InlineData("meta.interval", "-1", ">= 0")]
    [InlineData("meta.wpn.hidden", "0", "[1, 65536]")]
    [InlineData("meta.optimiser.rate", "0", "> 0")]
    [InlineData("train.epochs", "0", "[1, 1000000]")]
    [InlineData("train.batch", "1", "[2, 1000000]")]
    [InlineData("train.rate", "0", "> 0")]
    [InlineData("train.milestones", "[0]", ">= 1")]
    [InlineData("train.decay", "0", "(0, 1]")]
    [InlineData("train.momentum", "1", "[0, 1)")]
    [InlineData("train.dampening", "1.5", "[0, 1]")]
    [InlineData("train.weightDecay", "-1e-4", ">= 0")]
    [InlineData("export.weightsEvery", "-1", ">= 0")]
    public void A_value_out_of_range_is_refused_with_the_range(string key, string value, string range) =>
        Complaint("", $"{key}={value}").Should().StartWith($"--set {key}={value}: {key} is {value}; it must be a").And.Contain(" " + range)
            .And.MatchRegex("; it must be (an integer|a number|a list of integers) ");

    [Theory]
    [
        InlineData(
            "train:\n  batch: 3\n",
            "run.yaml:2: train.batch is 3; with meta.enabled it must be at least 4, because each half batch needs 2 images")
    ]
    [
        InlineData(
            "train:\n  nesterov: true\n  momentum: 0\n",
            "run.yaml:2: train.nesterov needs train.momentum > 0 and train.dampening 0; they are 0 and 0")
    ]
    [
        InlineData(
            "train:\n  nesterov: true\n  dampening: 0.1\n",
            "run.yaml:2: train.nesterov needs train.momentum > 0 and train.dampening 0; they are 0.9 and 0.1")
    ]
    [InlineData("train:\n  milestones: [5, 5]\n", "run.yaml:2: train.milestones are [5, 5]; they must be in ascending order")]
    [
        InlineData(
            "phase2:\n  epochs: 3\n  milestones: [9, 5]\n", "run.yaml:3: phase2.milestones are [9, 5]; they must be in ascending order")
    ]
    [
        InlineData(
            "phase2:\n  epochs: 3\n  batch: 3\n",
            "run.yaml:3: phase2.batch is 3; with meta.enabled it must be at least 4, because each half batch needs 2 images")
    ]
    [
        InlineData(
            "phase2:\n  from: runs/a\n",
            "run.yaml:2: phase2.from is set, but phase2.epochs is 0, so there is no phase II; set phase2.epochs")
    ]
    [
        InlineData(
            "meta:\n  gradient: finiteDifference\nmodifiers: {ge: {enabled: true}}\n",
            "run.yaml:2: meta.gradient finiteDifference cannot account for the rescaled gradients of modifiers.ge; use forward or unrolled")
    ]
    [
        InlineData(
            "meta: {gradient: finiteDifference}\nmodifiers: {isc: {enabled: true}}\n",
            "run.yaml:1: meta.gradient finiteDifference cannot account for the stopped gradient of modifiers.isc; use forward or unrolled")
    ]
    [
        InlineData(
            "meta: {gradient: finiteDifference}\nmodifiers: {boosting: {enabled: true}}\n",
            "run.yaml:1: meta.gradient finiteDifference cannot account for the stopped gradient of modifiers.boosting; use forward or "
                + "unrolled")
    ]
    [
        InlineData(
            "modifiers: {boosting: {enabled: true}, isc: {enabled: true, gradient: flow}}\n",
            "run.yaml:1: modifiers.boosting adds the earlier exits' logits as constants; modifiers.isc.gradient flow trains them; use stop")
    ]
    [
        InlineData(
            "modifiers: {boosting: {enabled: true}, isc: {enabled: true, transfer: identity}}\n",
            "run.yaml:1: modifiers.boosting adds the earlier exits' logits as constants; modifiers.isc.transfer identity adds them again; "
            + "use fc")
    ]
    [
        InlineData(
            "phase2: {epochs: 2}\nmodifiers: {boosting: {enabled: true}}\n",
            "run.yaml:2: modifiers.boosting needs the exits and the network to be trained together, but phase2.epochs is 2; set "
            + "phase2.epochs to 0, or phase2.regime to mixed")
    ]
    [
        InlineData(
            "phase2:\n  regime: mixed\n",
            "run.yaml:2: phase2.regime is mixed, but phase2.epochs is 0, so there is no phase II; set phase2.epochs")
    ]
    [
        InlineData(
            "phase2:\n  epochs: 1\n  regime: mixed\nmodifiers: {isc: {enabled: true}}\n",
            "run.yaml:3: phase2.regime mixed keeps training phase I's exits, but modifiers.isc changes them; use phase2.regime frozen, "
            + "or modifiers.isc.enabled=false")
    ]
    [
        InlineData(
            "phase2:\n  epochs: 1\n  regime: mixed\n  frozenNorm: moving\n",
            "run.yaml:4: phase2.frozenNorm only applies to a frozen network, but phase2.regime is mixed; remove phase2.frozenNorm, or "
                + "use frozen")
    ]
    [
        InlineData(
            "model: {ranet: {scaleList: [1, 2, 3, 3]}}\n",
            "run.yaml:1: model.ranet.scaleList has 4 entries, growthFactors 3, bottleneckFactors 3; all three need one per sub-network")
    ]
    [
        InlineData(
            "model:\n  precision: tf32\n",
            "run.yaml:2: model.precision tf32 needs CUDA's tensor cores, but device is cpu; use full, or device cuda")
    ]
    [InlineData("model: {precision: bf16}\nmeta: {gradient: finiteDifference}\n", "run.yaml:1: model.precision bf16 requires "
        + "meta.gradient forward: finiteDifference loses too much precision to its rounding; use forward, or full")]
    [InlineData("modifiers:\n  combination: pcgrad\n", "run.yaml:2: modifiers.combination pcgrad is not the sum of the exits' gradients, "
        + "which the lookahead of learned weights (meta.enabled, meta.weights predicted) requires; use sum, meta.enabled=false, or "
        + "meta.weights fixed or allocated")]
    [InlineData("train:\n  milestones: [9, 5]\n", "run.yaml:2: train.milestones are [9, 5]; they must be in ascending order")]
    [InlineData(
        "model:\n  msdnet:\n    bottleneckFactors: [1, 2]\n",
        "run.yaml:3: model.msdnet.growthFactors has 3 entries, bottleneckFactors 2; both need one per scale")]
    public void Settings_that_contradict_each_other_are_refused(string yaml, string message) => Complaint(yaml).Should().Be(message);

    [Theory]
    [InlineData("meta.enabled=false")]
    [InlineData("meta.weights=fixed")]
    [InlineData("meta.weights=allocated")]
    [InlineData("meta.interval=0")]
    public void Weights_that_are_not_learned_go_with_any_combination_of_gradients(string setting)
        => Parse("modifiers: {combination: cagrad}", setting).Modifiers.Combination.Name.Should().Be("cagrad");

    [Fact]
    public void A_contradiction_made_by_an_override_names_the_override() =>
        Complaint("train:\n  momentum: 0\n", "train.nesterov=true").Should().StartWith("--set train.nesterov=true: train.nesterov needs");

    [Fact]
    public void A_small_batch_is_enough_without_meta_learning()
        => Parse("meta: {enabled: false}\ntrain: {batch: 2}").Train.Batch.Should().Be(2);

    [Theory]
    [InlineData("seed: 1\nname: a\nseed: 2\n", "run.yaml:3: seed is defined twice; first at run.yaml:1")]
    [InlineData("meta:\n  q: 1\nmeta:\n  q: 1\n", "run.yaml:3: meta is defined twice; first at run.yaml:1")]
    [InlineData("meta:\n  q: 1\n  'q': 1\n", "run.yaml:3: meta.q is defined twice; first at run.yaml:2")]
    [InlineData("meta.q: 1\n", "run.yaml:1: meta.q: dotted keys are only for --set; in a file, nest the key under its group")]
    [InlineData("meta:\n  q: &a 1\n", "run.yaml:2: anchors (&name) are not supported; write the value where it is needed")]
    [InlineData("&a meta:\n  q: 1\n", "run.yaml:1: anchors (&name) are not supported; write the value where it is needed")]
    [InlineData("meta:\n  q: *a\n", "run.yaml:2: aliases (*name) are not supported; write the value itself")]
    [InlineData("meta: !!map\n  q: 1\n", "run.yaml:1: tags (!name) are not supported; write the plain value")]
    [InlineData("name: !!str 5\n", "run.yaml:1: tags (!name) are not supported; write the plain value")]
    [InlineData("name: ! five\n", "run.yaml:1: tags (!name) are not supported; write the plain value")]
    [InlineData("seed: 1\n---\nseed: 2\n", "run.yaml:2: a second document starts here; a configuration is one document")]
    [InlineData("- seed\n- 1\n", "run.yaml:1: a configuration consists of 'key: value' lines")]
    [InlineData("quickstart\n", "run.yaml:1: a configuration consists of 'key: value' lines")]
    [InlineData("? [seed]\n: 1\n", "run.yaml:1: a key must be a single word")]
    [InlineData("train:\n  milestones:\n  - [1]\n", "run.yaml:3: the items of train.milestones must be single values")]
    [InlineData("a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}", "run.yaml:1: keys are nested too deeply")]
    [InlineData("seed: 1\n \tname: a\n", "run.yaml:2: this line is indented with a tab; YAML requires spaces")]
    [InlineData("seed: 1\nname: a\0b\n", "run.yaml:2: the control character U+0000 is not allowed in a configuration")]
    public void Yaml_that_no_configuration_needs_is_refused(string yaml, string message) => Complaint(yaml).Should().Be(message);

    [Theory]
    [InlineData("seed: 1\n name: a\n", 2)]
    [InlineData("meta: {q: 1\n", 2)]
    [InlineData("seed: 1\nname: \"a\n", 2)]
    [InlineData("name: \"\\UFFFFFFFF\"\n", 1)]
    [InlineData("%YAML 9.9\n---\nseed: 1\n", 1)]
    public void What_is_no_yaml_is_refused_with_its_line(string yaml, int line)
        => Complaint(yaml).Should().StartWith($"run.yaml:{line}: invalid YAML: ");

    [Fact]
    public void Foreign_text_in_a_message_is_short_and_one_line()
    {
        Complaint("\"a\\nb\\e[31m\": 1").Should().StartWith("run.yaml:1: unknown key a\\u000ab\\u001b[31m; ");
        Complaint($"seed: {new string('x', 500)}").Should().HaveLength("run.yaml:1: seed is …; it must be an integer >= 0".Length + 100);
        Complaint($"? {new string('k', 200_000)}\n: 1").Length.Should().BeLessThan(250);
    }

    [Fact]
    public void A_hundred_thousand_brackets_neither_crash_nor_hang()
    {
        Complaint(new string('[', 100_000)).Should().StartWith("run.yaml:1: ");
        Complaint(string.Concat(Enumerable.Repeat("{a: ", 100_000))).Should().Be("run.yaml:1: keys are nested too deeply");
        Complaint("", "name=" + new string('[', 100_000)).Should().StartWith("--set name=[[[");
    }

    /// <summary>Whatever is done to a file, the answer is settings or one line.</summary>
    [Fact]
    public void A_damaged_file_gives_settings_or_one_line()
    {
        const string Pieces = "{}[]:,-#&*!|>'\"%@`?~ \n\t.\\0a9é\u2028";
        var whole = SettingsWriter.Write(new Settings { Name = "x", Data = new() { Root = "/a \"b\"" } });
        int refused = 0, rounds = 0;
        Laws.HoldFor(3000, random =>
        {
            rounds++;
            var text = new StringBuilder(whole);
            for (var change = random.Next(1, 4); change > 0; change--)
            {
                var at = random.Next(text.Length - 20);
                _ = random.Next(3) switch
                {
                    0 => text.Remove(at, random.Next(1, 20)),
                    1 => text.Insert(at, Pieces[random.Next(Pieces.Length)]),
                    _ => text.Insert(at, text.ToString(random.Next(text.Length - 20), 20)),
                };
            }

            try
            {
                Parse(text.ToString());
            }
            catch (UsageException exception)
            {
                refused++;
                exception.Message.Should().StartWith("run.yaml").And.NotContainAny("\n", "\r");
            }
        });

        refused.Should().BeInRange(2 * rounds / 3, rounds - 1);
    }
}
