using Imta.MetaWeight.Experiments.Data;
using Imta.MetaWeight.Experiments.Evaluation;
using Imta.MetaWeight.Experiments.Runs;
using Imta.MetaWeight.Tests.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Tests.Experiments.Evaluation;

/// <summary>A trained network in a program, beside <c>imta infer</c>.</summary>
public sealed class EarlyExitClassifierTests(TrainedRun trained) : IClassFixture<TrainedRun>
{
    [Fact]
    public void Pixels_get_the_answers_of_the_command_however_they_are_batched()
    {
        using EarlyExitClassifier classifier = Load();
        trained.Make("answers.csv", "infer", "run", "--policy", "thirds.json", "--data", trained.TestFile, "--out", "answers.csv");
        InferenceRow[] rows = trained.Read<InferenceRow>("answers.csv");
        using ImageSet images = CifarReader.ReadFile(CifarFormat.Cifar10, trained.TestFile);

        foreach (int size in (int[])[rows.Length, 7, 1])
        {
            using DisposeScope scope = NewDisposeScope();
            EarlyExitPrediction[] answers = [.. images.Images.split(size).SelectMany(classifier.Classify)];
            Check(answers, rows);
        }

        rows.Select(row => row.Exit).Distinct().Should().HaveCountGreaterThan(1);
        classifier.Warnings.Should().BeEmpty();
        classifier.Macs.Should().Equal(trained.Read<CostRow>("run", "cost.csv").Select(row => row.Macs));
        classifier.ClassNames.Should().HaveCount(10).And.StartWith("airplane");
    }

    [Fact]
    public void Threads_may_share_it()
    {
        using EarlyExitClassifier classifier = Load();
        using ImageSet images = CifarReader.ReadFile(CifarFormat.Cifar10, trained.TestFile);
        IReadOnlyList<EarlyExitPrediction> alone = classifier.Classify(images.Images);

        EarlyExitPrediction[][] together =
            [.. Enumerable.Range(0, 8).AsParallel().WithDegreeOfParallelism(4).Select(_ => classifier.Classify(images.Images).ToArray())];

        together.Should().OnlyContain(answers => answers.SequenceEqual(alone));
    }

    [Fact]
    public void Files_are_answered_one_by_one_and_together_and_unreadable_ones_told()
    {
        using EarlyExitClassifier classifier = Load();
        string picture = trained.In("colour.png"), broken = trained.In("broken.png");
        File.WriteAllBytes(picture, GoldenPictures.Bytes("colour.png"));
        File.WriteAllText(broken, "no picture");

        IReadOnlyList<EarlyExitPrediction?> answers = classifier.Classify([picture, broken, trained.In("nowhere.png"), picture]);

        answers.Select(answer => answer is null).Should().Equal(false, true, true, false);
        classifier.Classify(picture).Should().Be(answers[0]).And.Be(answers[3]);
        classifier.Invoking(one => one.Classify(broken)).Should().Throw<UsageException>()
            .WithMessage($"{broken} cannot be read (*); it gets no prediction");
        classifier.Classify([]).Should().BeEmpty();
    }

    [Fact]
    public void What_cannot_be_classified_is_refused()
    {
        using EarlyExitClassifier classifier = Load();
        using DisposeScope scope = NewDisposeScope();

        Tensor[] wrong = [zeros(2, 3, 32, 32), zeros([2, 3, 16, 32], ScalarType.Byte), zeros([3, 32, 32], ScalarType.Byte)];
        foreach (Tensor images in wrong)
        {
            classifier.Invoking(one => one.Classify(images)).Should().Throw<ArgumentException>()
                .WithMessage("*expected Byte [N, 3, 32, 32]*");
        }

        classifier.Classify(zeros([0, 3, 32, 32], ScalarType.Byte)).Should().BeEmpty();
        classifier.Invoking(one => one.Classify(["a.png"], 0)).Should().Throw<ArgumentOutOfRangeException>();
        Action load = () => EarlyExitClassifier.Load(trained.In("nowhere"), trained.In("thirds.json"));
        load.Should().Throw<UsageException>().WithMessage("*nowhere does not exist*");
        load = () => EarlyExitClassifier.Load(trained.In("run"), trained.In("run", "config.yaml"));
        load.Should().Throw<UsageException>().WithMessage("*is not a readable policy*");
    }

    [Fact]
    public void A_policy_of_another_checkpoint_is_a_warning()
    {
        Load().Dispose();
        string policy = File.ReadAllText(trained.In("thirds.json"));
        int hash = policy.IndexOf("\"checkpoint_sha256\": \"", StringComparison.Ordinal) + "\"checkpoint_sha256\": \"".Length;
        File.WriteAllText(trained.In("other.json"), policy.Remove(hash, 64).Insert(hash, new string('0', 64)));

        using EarlyExitClassifier classifier = EarlyExitClassifier.Load(trained.In("run"), trained.In("other.json"));

        classifier.Warnings.Should().ContainSingle().Which.Should().Contain("was calibrated for a different checkpoint");
    }

    /// <summary>A run in training replaces its checkpoint while a policy is calibrated for what was read.</summary>
    [Fact]
    public void A_networks_hash_is_that_of_the_checkpoint_which_was_read()
    {
        string file = trained.In("replaced.pt");
        File.Copy(trained.In("run", "checkpoints", "latest.pt"), file, overwrite: true);
        string read = FileHash.Sha256(file);
        using TrainedNetwork network = TrainedNetwork.Load(file, null, []);

        TrainedRun.Change(file, file, TrainedRun.Spoil);

        network.Hash.Should().Be(read).And.NotBe(FileHash.Sha256(file));
    }

    private static void Check(EarlyExitPrediction[] answers, InferenceRow[] rows)
    {
        answers.Select(one => ((long)one.Class, one.Name, one.Exit, one.Macs)).Should()
            .Equal(rows.Select(row => (row.Class, row.Name, row.Exit, row.Macs)));
        answers.Select(one => one.Confidence).Should()
            .Equal(rows.Select(row => row.Confidence), (one, other) => Math.Abs(one - other) < 1e-5);
    }

    private EarlyExitClassifier Load()
    {
        trained.Make("thirds.json", "calibrate", "run", "--shares", "1,1,1", "--out", "thirds.json");
        return EarlyExitClassifier.Load(trained.In("run"), trained.In("thirds.json"), threads: 1);
    }
}
