using System.Text.Json.Nodes;
using Imta.MetaWeight.Experiments.Data;

namespace Imta.MetaWeight.Tests.Experiments.Commands;

/// <summary>CIFAR files that are others than those a run started with.</summary>
public sealed class ChangedDataTests(TrainedRun trained) : IClassFixture<TrainedRun>, IDisposable
{
    private const int Record = 3073;
    private readonly string _file = trained.Cifar.PathOf("data_batch_3.bin"), _last = trained.Cifar.PathOf("data_batch_5.bin");
    private readonly byte[] _train = File.ReadAllBytes(trained.Cifar.PathOf("data_batch_3.bin"));
    private readonly byte[] _end = File.ReadAllBytes(trained.Cifar.PathOf("data_batch_5.bin"));
    private readonly byte[] _test = File.ReadAllBytes(trained.TestFile);

    public static TheoryData<string> Changes => ["pixel", "label", "order", "fewer", "test", "moved"];

    public void Dispose()
    {
        File.WriteAllBytes(_file, _train);
        File.WriteAllBytes(_last, _end);
        File.WriteAllBytes(trained.TestFile, _test);
    }

    [Theory]
    [MemberData(nameof(Changes))]
    public void A_run_does_not_go_on_and_other_commands_warn(string change)
    {
        string[] before = RunFiles.Tables(trained.In("run"));
        Change(change);

        trained.Run(2, "train", "--resume", "run").Error.Should().EndWith(
            "imta: the data set's files differ from those that run started with (added, removed, renamed or changed), so training and "
                + "validation images would be mixed up; restore the files, or give a folder that has them with --data\n");
        foreach (string[] command in (string[][])
        [
            ["eval", "run", "--out", "evaluated", "--force"],
            ["calibrate", "run", "--shares", "1,1,1", "--out", "p.json", "--force"],
        ])
        {
            trained.Run(0, command).Error.Should().Contain(
                "started with; images held out here may have been used for training\n", "this is what {0} has to say", command[0]);
        }

        RunFiles.Tables(trained.In("run")).Should().Equal(before);
    }

    [Fact]
    public void Phase_II_does_not_take_a_network_of_other_data()
    {
        Change("pixel");

        trained.Refusal(
            "train", "run/config.yaml", "--out", "second", "--set", "phase2.from=run", "--set", "phase2.epochs=1").Should()
            .Contain("was trained with different files");
    }

    [Fact]
    public void The_same_images_elsewhere_are_the_same_data_and_a_run_of_an_earlier_version_goes_on()
    {
        string elsewhere = trained.In("elsewhere");
        Directory.CreateDirectory(elsewhere);
        foreach (string file in Directory.GetFiles(trained.Cifar.Folder))
        {
            File.Copy(file, Path.Combine(elsewhere, Path.GetFileName(file)));
        }

        trained.Run(0, "train", "--resume", "run", "--data", elsewhere).Error.Should().NotContain("record");
        trained.Run(0, "eval", "run", "--out", "there", "--data", elsewhere).Error.Should().NotContain("differ");

        string environment = trained.In("run", "environment.json"), text = File.ReadAllText(environment);
        JsonObject earlier = JsonNode.Parse(text)!.AsObject();
        earlier["images"] = null;
        File.WriteAllText(environment, earlier.ToJsonString());
        Change("pixel");
        trained.Run(0, "train", "--resume", "run").Error.Should()
            .Contain("warning: run/environment.json does not record which files the run started with");
        File.WriteAllText(environment, text);
    }

    private void Change(string change)
    {
        switch (change)
        {
            case "pixel":
                trained.Cifar.Change("data_batch_3.bin", (5 * Record) + 100, (byte)(_train[(5 * Record) + 100] + 1));
                break;
            case "label":
                trained.Cifar.Change("data_batch_3.bin", 5 * Record, (byte)((_train[5 * Record] + 1) % 10));
                break;
            case "order":
                File.WriteAllBytes(_file, [.. _train[Record..], .. _train[..Record]]);
                break;
            case "fewer":
                File.WriteAllBytes(_file, _train[Record..]);
                break;
            case "test":
                trained.Cifar.Change(CifarFormat.Cifar10.TestFile, 7, (byte)(_test[7] + 1));
                break;
            default: // a test image has become the last training image: the same bytes in the same order
                File.WriteAllBytes(_last, [.. _end, .. _test[..Record]]);
                File.WriteAllBytes(trained.TestFile, _test[Record..]);
                break;
        }
    }
}
