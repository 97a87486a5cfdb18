using FsCheck;
using FsCheck.Fluent;
using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Backbones.Msd;
using Imta.MetaWeight.Backbones.Ra;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Losses;
using Imta.MetaWeight.Meta.Gradients;
using Imta.MetaWeight.Meta.Optimisers;
using Imta.MetaWeight.Meta.Weighting;

namespace Imta.MetaWeight.Tests.Experiments.Configuration;

public sealed class ConfigurationSchemaTests
{
    [Fact]
    public void Every_key_says_what_it_is()
    {
        foreach (var key in SettingsSchema.Keys)
        {
            key.Key.Should().MatchRegex(@"\A[a-z][A-Za-z0-9]*(\.[a-z][A-Za-z0-9]*)*\z");
            key.Type.Should().NotBeNullOrWhiteSpace(key.Key);
            key.Default.Should().NotBeNullOrWhiteSpace(key.Key);
            key.Range.Should().NotBeNullOrWhiteSpace(key.Key);
            key.Meaning.Should().MatchRegex(@"\A\S.{3,205}[^\s.]\z", key.Key);
        }
    }

    [Fact]
    public void The_keys_are_those_of_the_design_that_do_something() => SettingsSchema.Keys.Select(key => key.Key).Should().Equal(
        "name", "seed", "device", "threads", "processes", "preset",
        "data.dataset", "data.root", "data.validation", "data.classes", "data.side", "data.trainLimit", "data.testLimit",
        "data.augment", "data.workers",
        "data.imbalance.type", "data.imbalance.factor", "data.imbalance.order",
        "model.backbone", "model.initialisation", "model.precision",
        "model.msdnet.blocks", "model.msdnet.base", "model.msdnet.step", "model.msdnet.stepMode", "model.msdnet.channels",
        "model.msdnet.growth",
        "model.msdnet.growthFactors", "model.msdnet.bottleneck", "model.msdnet.bottleneckFactors", "model.msdnet.prune",
        "model.msdnet.reduction",
        "model.ranet.blocks", "model.ranet.blockStep", "model.ranet.step", "model.ranet.stepMode", "model.ranet.channels",
        "model.ranet.growth",
        "model.ranet.growthFactors", "model.ranet.bottleneckFactors", "model.ranet.scaleList", "model.ranet.compress",
        "model.ranet.reduction",
        "modifiers.combination",
        "modifiers.metaGf.enabled", "modifiers.metaGf.unit", "modifiers.metaGf.activation", "modifiers.metaGf.temperature",
        "modifiers.metaGf.start", "modifiers.metaGf.lastStart", "modifiers.metaGf.rate", "modifiers.metaGf.average",
        "modifiers.metaGf.averaging", "modifiers.metaGf.trailingStep", "modifiers.metaGf.auxiliary", "modifiers.metaGf.ramp",
        "modifiers.ge.enabled", "modifiers.ge.scales",
        "modifiers.isc.enabled", "modifiers.isc.transfer", "modifiers.isc.gradient",
        "modifiers.boosting.enabled", "modifiers.boosting.reweighting", "modifiers.boosting.lastReweighting",
        "modifiers.pcgrad.order", "modifiers.cagrad.c", "modifiers.cagrad.rescale", "modifiers.nashMtl.maxNorm",
        "modifiers.dwa.temperature", "modifiers.uncertainty.rate", "modifiers.uncertainty.start",
        "modifiers.gradNorm.alpha", "modifiers.gradNorm.rate", "modifiers.lossEqual.momentum",
        "loss.labelSmoothing", "loss.ofa.enabled", "loss.ofa.alpha", "loss.ofa.temperature", "loss.ofa.reduction",
        "loss.classWeights.type", "loss.classWeights.beta", "loss.classWeights.after",
        "meta.enabled", "meta.weights", "meta.gradient", "meta.memory", "meta.lookahead", "meta.q", "meta.objective", "meta.epsilon",
        "meta.centring", "meta.features", "meta.interval",
        "meta.source", "meta.perClass",
        "meta.wpn.hidden", "meta.wpn.layers", "meta.wpn.output", "meta.optimiser.rate", "meta.optimiser.weightDecay",
        "train.initialise", "train.epochs", "train.batch", "train.rate", "train.schedule", "train.milestones", "train.decay",
        "train.warmup", "train.momentum", "train.dampening",
        "train.nesterov", "train.weightDecay",
        "phase2.from", "phase2.regime", "phase2.frozenNorm", "phase2.epochs", "phase2.batch", "phase2.rate", "phase2.schedule",
        "phase2.milestones",
        "phase2.decay", "phase2.warmup",
        "phase2.momentum", "phase2.dampening", "phase2.nesterov", "phase2.weightDecay",
        "export.weightsEvery", "export.predictions", "export.logits", "export.tensorboard",
        "run.checkpointMinutes", "run.checkpointEvery", "run.bestBy", "run.skipNonFinite");

    [Theory]
    [InlineData("name", "text", "null", "at most 100 letters, digits, '.', '_' or '-'")]
    [InlineData("device", "text", "cpu", "cpu, cuda")]
    [InlineData("data.dataset", "choice", "generated", "generated, cifar10, cifar100, imagenet, pictures")]
    [InlineData("data.trainLimit", "integer", "null", ">= 1")]
    [InlineData("model.msdnet.growthFactors", "list of integers", "[1, 2, 4]", "[1, 64]")]
    [InlineData("model.ranet.compress", "number", "0.25", "(0, 1)")]
    [InlineData("phase2.regime", "choice", "frozen", "frozen, mixed")]
    [InlineData("phase2.epochs", "integer", "0", "[0, 1000000]")]
    [InlineData("phase2.from", "text", "null", "the folder of a run, or a checkpoint")]
    [InlineData("data.side", "integer", "null", "[8, 512]")]
    [InlineData("train.initialise", "text", "null", "the folder of a run, or a file")]
    [InlineData("meta.enabled", "true or false", "true", "true, false")]
    [InlineData("meta.q", "number", "0.75", "> 0")]
    [InlineData("meta.optimiser.rate", "number", "0.0001", "> 0")]
    [InlineData("train.momentum", "number", "0.9", "[0, 1)")]
    [InlineData("modifiers.combination", "choice", "sum", "sum, pcgrad, cagrad, nashMtl, dwa, uncertainty, gradNorm, lossEqual, last")]
    [InlineData("modifiers.cagrad.c", "number", "0.5", "[0, 1)")]
    [InlineData("modifiers.cagrad.rescale", "choice", "none", "none, onePlusCSquared, onePlusC")]
    [InlineData("modifiers.nashMtl.maxNorm", "number", "null", "> 0")]
    [InlineData("modifiers.dwa.temperature", "number", "2", "> 0")]
    [InlineData("modifiers.uncertainty.rate", "number", "0.025", "> 0")]
    [InlineData("modifiers.uncertainty.start", "number", "0", "[-20, 20]")]
    [InlineData("modifiers.gradNorm.alpha", "number", "1.5", "[0, 100]")]
    [InlineData("modifiers.lossEqual.momentum", "number", "0.9", "[0, 1)")]
    public void A_key_is_described_by_its_property(string key, string type, string @default, string range) =>
        SettingsSchema.Find(key).Should().BeEquivalentTo(new { Key = key, Type = type, Default = @default, Range = range });

    [Fact]
    public void Defaults_are_valid() =>
        SettingsLoader.Parse(SettingsWriter.Write(new Settings()), "written").Should().Be(new Settings());

    [Fact]
    public void The_written_file_has_every_key_in_its_fixed_order() => SettingsWriter.Write(new Settings { Name = "run-1" }).Should().Be("""
        name: run-1
        seed: 0
        device: cpu
        threads: 0
        processes: 1
        preset: paper
        data:
          dataset: generated
          root: null
          validation: 5000
          classes: null
          side: null
          trainLimit: null
          testLimit: null
          augment: true
          workers: 0
          imbalance:
            type: none
            factor: 100
            order: index
        model:
          backbone: msdnet
          initialisation: he
          precision: full
          msdnet:
            blocks: 5
            base: 1
            step: 1
            stepMode: linGrow
            channels: 16
            growth: 6
            growthFactors: [1, 2, 4]
            bottleneck: true
            bottleneckFactors: [1, 2, 4]
            prune: max
            reduction: 0.5
          ranet:
            blocks: 2
            blockStep: 2
            step: 4
            stepMode: even
            channels: 16
            growth: 6
            growthFactors: [4, 2, 1]
            bottleneckFactors: [4, 2, 1]
            scaleList: [1, 2, 3]
            compress: 0.25
            reduction: 0.5
        modifiers:
          combination: sum
          metaGf:
            enabled: false
            unit: tensor
            activation: sigmoid
            temperature: 1
            start: 1
            lastStart: null
            rate: 0.1
            average: 0.9
            averaging: inPlace
            trailingStep: false
            auxiliary: msdnet
            ramp: false
          ge:
            enabled: false
            scales: head
          isc:
            enabled: false
            transfer: fc
            gradient: stop
          boosting:
            enabled: false
            reweighting: 0.5
            lastReweighting: null
          pcgrad:
            order: random
          cagrad:
            c: 0.5
            rescale: none
          nashMtl:
            maxNorm: null
          dwa:
            temperature: 2
          uncertainty:
            rate: 0.025
            start: 0
          gradNorm:
            alpha: 1.5
            rate: 0.025
          lossEqual:
            momentum: 0.9
        loss:
          labelSmoothing: 0
          ofa:
            enabled: false
            alpha: 0.9
            temperature: 1
            reduction: batchMean
          classWeights:
            type: none
            beta: 0.9999
            after: 0
        meta:
          enabled: true
          weights: predicted
          gradient: forward
          memory: normal
          lookahead: local
          q: 0.75
          objective: allocated
          epsilon: 0.8
          centring: col
          features: loss
          interval: 1
          source: halves
          perClass: 10
          wpn:
            hidden: 500
            layers: 1
            output: tanh
          optimiser:
            rate: 0.0001
            weightDecay: 0.0001
        train:
          initialise: null
          epochs: 300
          batch: 1024
          rate: 0.8
          schedule: cosine
          milestones: [150, 225]
          decay: 0.1
          warmup: 0
          momentum: 0.9
          dampening: 0
          nesterov: false
          weightDecay: 0.0001
        phase2:
          from: null
          regime: frozen
          frozenNorm: fixed
          epochs: 0
          batch: 1024
          rate: 0.8
          schedule: cosine
          milestones: [150, 225]
          decay: 0.1
          warmup: 0
          momentum: 0.9
          dampening: 0
          nesterov: false
          weightDecay: 0.0001
        export:
          weightsEvery: 0
          predictions: true
          logits: false
          tensorboard: false
        run:
          checkpointMinutes: 10
          checkpointEvery: 0
          bestBy: lastAccuracy
          skipNonFinite: false

        """.ReplaceLineEndings("\n"));

    [Theory]
    [InlineData("/data", "root: /data\n")]
    [InlineData("null", "root: \"null\"\n")]
    [InlineData("No", "root: \"No\"\n")]
    [InlineData("3", "root: \"3\"\n")]
    [InlineData("a: b", "root: \"a: b\"\n")]
    [InlineData(" #x", "root: \" #x\"\n")]
    [InlineData("it's \"é\" \\", "root: \"it's \\\"é\\\" \\\\\"\n")]
    [InlineData("📁", null)]
    [InlineData("a\u2028b\u00a0c\ufeffd", null)]
    public void Text_is_quoted_where_it_must_be(string root, string? line)
    {
        var settings = new Settings { Data = new() { Root = root } };
        var written = SettingsWriter.Write(settings);
        written.Should().Contain(line ?? "root: ");
        SettingsLoader.Parse(written, "written").Should().Be(settings);
    }

    [Theory]
    [InlineData(1e-5, "1.0E-05")]
    [InlineData(1.5e300, "1.5E+300")]
    [InlineData(0.1 + 0.2, "0.30000000000000004")]
    [InlineData(double.Epsilon, "5.0E-324")]
    [InlineData(2, "2")]
    public void Numbers_are_written_in_full_and_as_other_readers_take_them(double q, string text)
    {
        var settings = new Settings { Meta = new() { Q = q } };
        SettingsWriter.Write(settings).Should().Contain($"  q: {text}\n");
        SettingsLoader.Parse(SettingsWriter.Write(settings), "written").Meta.Q.Should().Be(q);
    }

    [Fact]
    public void What_is_written_reads_back_as_the_same_settings()
    {
        Prop.ForAll(Arb.From(AnySettings()), settings =>
        {
            var written = SettingsWriter.Write(settings);
            var read = SettingsLoader.Parse(written, "written");
            read.Should().Be(settings);
            read.GetHashCode().Should().Be(settings.GetHashCode());
            SettingsWriter.Write(read).Should().Be(written);
        }).Hold(500);
    }

    [Fact]
    public void Numbers_have_a_point_whatever_the_culture()
    {
        using var culture = new CommaCulture();
        var settings = new Settings { Meta = new() { Q = 0.5 } };

        SettingsWriter.Write(settings).Should().Contain("  q: 0.5\n");
        SettingsLoader.Parse(SettingsWriter.Write(settings), "written").Should().Be(settings);
        Action comma = () => SettingsLoader.Parse("meta: {q: '0,5'}", "written");
        comma.Should().Throw<UsageException>();
    }

    [Fact]
    public void Settings_compare_lists_by_value()
    {
        var one = new TrainOptions { Milestones = [1, 2] };
        one.Should().Be(new TrainOptions { Milestones = new List<int> { 1, 2 } });
        one.Should().NotBe(new TrainOptions { Milestones = [1, 3] });
        int[] mine = [4, 5];
        var two = one with { Milestones = mine };
        mine[0] = 9;
        two.Milestones.Should().Equal(4, 5);
    }

    private static Gen<int> Whole(int low, int high) => Gen.Frequency(
        (1, Gen.Elements(low, high)),
        (4, Gen.Choose(low, Math.Min(high, low + 1000))));

    private static Gen<double> Positive(double below) =>
        from whole in Gen.Choose(1, int.MaxValue)
        from exponent in Gen.Choose(below > 1 ? -20 : 0, below > 1 ? 20 : 0)
        select whole / (int.MaxValue + 1.0) * Math.Pow(10, exponent);

    private static Gen<T> Any<T>()
        where T : struct, Enum => Gen.Elements(Enum.GetValues<T>());

    private static Gen<bool> Flag() => Gen.Elements(true, false);

    private static Gen<int?> Maybe(Gen<int> gen) => Gen.OneOf(gen.Select(value => (int?)value), Gen.Constant((int?)null));

    private static Gen<string?> Text(string letters, int most) =>
        from length in Gen.Choose(0, most)
        from text in Gen.Elements(letters.ToCharArray()).ArrayOf(length)
        select length == 0 ? null : new string(text);

    private static Gen<Settings> AnySettings() =>
        from name in Text("abcXYZ019", 20)
        from seed in Whole(0, int.MaxValue)
        from device in Gen.Elements("cpu", "cuda")
        from threads in Gen.Choose(0, 4096)
        from data in AnyData()
        from initialisation in Any<Initialisation>()
        from preset in Any<Preset>()
        from backbone in Gen.Elements("msdnet", "ranet")
        from precision in Gen.Elements(device == "cuda" ? new[] { Precision.Full, Precision.Tf32 } : [Precision.Full])
        from net in AnyNet()
        from ranet in AnyRaNet()
        from modifiers in AnyModifiers()
        from loss in AnyLoss()
        from meta in AnyMeta()
        from train in AnyTrain()
        from phase2 in AnyPhase2()
        from weightsEvery in Whole(0, int.MaxValue)
        from runOptions in AnyRun()
        from predictions in Gen.Elements(false, true)
        select new Settings
        {
            Name = name,
            Seed = seed,
            Device = device,
            Threads = threads,
            Data = data,
            Preset = preset,
            Model = new()
            {
                Backbone = new Choice<Backbone>(Registries.Backbones).With("msdnet", net).With("ranet", ranet).Choose(backbone),
                Initialisation = initialisation,
                Precision = precision,
            },
            Modifiers = modifiers,
            Loss = loss,
            Meta = meta,
            Train = train,
            Phase2 = phase2,
            Run = runOptions,
            Export = new() { WeightsEvery = weightsEvery, Predictions = predictions },
        };

    private static Gen<RunOptions> AnyRun() =>
        from minutes in Whole(0, 1_000_000)
        from every in Whole(0, int.MaxValue)
        from best in Any<BestBy>()
        from skips in Gen.Elements(false, true)
        select new RunOptions { CheckpointMinutes = minutes / 8.0, CheckpointEvery = every, BestBy = best, SkipNonFinite = skips };

    private static Gen<DataOptions> AnyData() =>
        from dataset in Any<DatasetKind>()
        from root in Text("ab/ :#'\"\\-[]{}&*!|>%@`~,?=0.é漢\u00a0\u2028\ufeff", 12)
        from validation in Whole(1, int.MaxValue)
        from classes in Maybe(Whole(2, 100_000))
        from side in Maybe(Whole(8, 512))
        from trainLimit in Maybe(Whole(1, int.MaxValue))
        from testLimit in Maybe(Whole(1, int.MaxValue))
        from augment in Flag()
        from workers in Whole(0, 4096)
        select new DataOptions
        {
            Dataset = dataset,
            Root = root,
            Validation = validation,
            Classes = dataset is DatasetKind.Imagenet or DatasetKind.Pictures ? classes : null,
            Side = dataset == DatasetKind.Pictures ? side : null,
            TrainLimit = trainLimit,
            TestLimit = testLimit,
            Augment = augment,
            Workers = workers,
        };

    private static Gen<MsdNetOptions> AnyNet() =>
        from sizes in Gen.Choose(1, 100).Three()
        from widths in Whole(1, 4096).Two()
        from mode in Any<StepMode>()
        from prune in Any<Prune>()
        from scales in Gen.Choose(1, 6)
        from growth in Gen.Choose(1, 64).ArrayOf(scales)
        from bottleneck in Gen.Choose(1, 64).ArrayOf(scales)
        from reduction in Positive(1)
        from narrows in Flag()
        select new MsdNetOptions
        {
            Blocks = sizes.Item1,
            Base = sizes.Item2,
            Step = sizes.Item3,
            StepMode = mode,
            Channels = widths.Item1,
            Growth = widths.Item2,
            GrowthFactors = growth,
            Bottleneck = narrows,
            BottleneckFactors = bottleneck,
            Prune = prune,
            Reduction = reduction,
        };

    private static Gen<RaNetOptions> AnyRaNet() =>
        from sizes in Gen.Choose(1, 100).Three()
        from mode in Any<StepMode>()
        from widths in Whole(1, 4096).Two()
        from flows in Gen.Choose(1, 6)
        from growth in Gen.Choose(1, 64).ArrayOf(flows)
        from bottleneck in Gen.Choose(1, 64).ArrayOf(flows)
        from scales in Gen.Choose(1, 16).ArrayOf(flows)
        from shares in Gen.Choose(1, 999_999).Two()
        select new RaNetOptions
        {
            Blocks = sizes.Item1,
            BlockStep = sizes.Item2,
            Step = sizes.Item3,
            StepMode = mode,
            Channels = widths.Item1,
            Growth = widths.Item2,
            GrowthFactors = growth,
            BottleneckFactors = bottleneck,
            ScaleList = scales,
            Compress = shares.Item1 / 1e6,
            Reduction = shares.Item2 / 1e6,
        };

    private static Gen<ModifierSettings> AnyModifiers() =>
        from combination in AnyCombination()
        from flags in Flag().Two()
        from scales in Any<EquilibriumScales>()
        from transfer in Any<Transfer>()
        from gradient in Any<TransferGradient>()
        from reweighting in Positive(1).Two()
        from ramps in Flag()
        select new ModifierSettings
        {
            Combination = combination,
            Boosting = new() { Reweighting = reweighting.Item1, LastReweighting = ramps ? reweighting.Item2 : null },
            Ge = new() { Enabled = flags.Item1, Scales = scales },
            Isc = new() { Enabled = flags.Item2, Transfer = transfer, Gradient = gradient },
        };

    /// <summary>The sum, for weights may be learned; with any options of the others.</summary>
    private static Gen<Choice<CombinationMethod>> AnyCombination() =>
        from order in Any<ProjectionOrder>()
        from numbers in Positive(1).Two()
        from rescale in Any<CaGradRescale>()
        from clips in Flag()
        select new Choice<CombinationMethod>(Registries.Combinations).With("pcgrad", new PcGradOptions { Order = order })
            .With("cagrad", new CaGradOptions { C = numbers.Item1, Rescale = rescale })
            .With("nashMtl", new NashMtlOptions { MaxNorm = clips ? numbers.Item2 : null })
            .With("dwa", new DynamicWeightAverageOptions { Temperature = numbers.Item1 })
            .With("uncertainty", new UncertaintyOptions { Rate = numbers.Item2, Start = -numbers.Item1 })
            .With("gradNorm", new GradNormOptions { Alpha = numbers.Item1, Rate = numbers.Item2 })
            .With("lossEqual", new LossEqualOptions { Momentum = numbers.Item1 });

    private static Gen<Phase2Options> AnyPhase2() =>
        from source in Text("ab/ .#", 8)
        from norm in Any<FrozenNorm>()
        from epochs in Whole(1, 1_000_000)
        from train in AnyTrain()
        select new Phase2Options
        {
            From = source,
            FrozenNorm = norm,
            Epochs = epochs,
            Batch = train.Batch,
            Rate = train.Rate,
            Schedule = train.Schedule,
            Milestones = train.Milestones,
            Decay = train.Decay,
            Momentum = train.Momentum,
            Dampening = train.Dampening,
            Nesterov = train.Nesterov,
            WeightDecay = train.WeightDecay,
        };

    private static Gen<LossOptions> AnyLoss() =>
        from numbers in Gen.Choose(0, 999_999).Two()
        from type in Any<ClassWeighting>()
        from distils in Flag()
        from reduction in Any<DistillationReduction>()
        from temperature in Positive(1e20)
        select new LossOptions
        {
            LabelSmoothing = numbers.Item1 / 1e6,
            Ofa = new() { Enabled = distils, Alpha = numbers.Item2 / 1e6, Temperature = temperature, Reduction = reduction },
            ClassWeights = new() { Type = type, Beta = numbers.Item2 / 1e6 },
        };

    private static Gen<MetaSettings> AnyMeta() =>
        from flag in Flag()
        from q in Positive(1e20)
        from objective in Any<MetaObjectiveKind>()
        from epsilon in Positive(1e20)
        from centring in Any<Centring>()
        from features in Any<WeightFeatures>()
        from interval in Whole(1, int.MaxValue)
        from hidden in Whole(1, 65536)
        from layers in Gen.Choose(1, 100)
        from rates in Positive(1e20).Two()
        select new MetaSettings
        {
            Enabled = flag,
            Q = q,
            Objective = objective,
            Epsilon = epsilon,
            Centring = centring,
            Features = features,
            Interval = interval,
            Wpn = new() { Hidden = hidden, Layers = layers },
            Optimiser = new() { Rate = rates.Item1, WeightDecay = rates.Item2 },
        };

    private static Gen<TrainSettings> AnyTrain() =>
        from epochs in Whole(1, 1_000_000)
        from batch in Whole(4, 1_000_000)
        from rates in Positive(1e20).Two()
        from schedule in Any<RateScheduleKind>()
        from milestones in Gen.Choose(1, 1000).ListOf()
        from decay in Positive(1)
        from momentum in Positive(1)
        from dampening in Positive(1)
        from nesterov in Flag()
        select new TrainSettings
        {
            Epochs = epochs,
            Batch = batch,
            Rate = rates.Item1,
            Schedule = schedule,
            Milestones = [.. milestones.Distinct().Order()],
            Decay = decay,
            Momentum = momentum,
            Dampening = nesterov ? 0 : dampening,
            Nesterov = nesterov,
            WeightDecay = rates.Item2,
        };
}
