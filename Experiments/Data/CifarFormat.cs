using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>
/// The official binary layout of a CIFAR data set: files of records, each with label bytes followed by 3·32·32 image bytes, channel by
/// channel, row by row.
/// </summary>
internal sealed record CifarFormat
{
    /// <summary>The web page of the archives.</summary>
    public const string Source = "https://www.cs.toronto.edu/~kriz/cifar.html";

    /// <summary>The URL of the folder that contains the archives.</summary>
    public const string ArchiveFolder = "https://www.cs.toronto.edu/~kriz/";

    private CifarFormat()
    {
    }

    /// <summary>CIFAR-10: one label byte.</summary>
    public static CifarFormat Cifar10 { get; } = new()
    {
        Key = "cifar10",
        Name = "CIFAR-10",
        Folder = "cifar-10-batches-bin",
        Archive = "cifar-10-binary.tar.gz",
        ArchiveMd5 = "c32a1d4ab5d03f1284b67883e8d87530",
        TrainFiles = ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
        TestFile = "test_batch.bin",
        NamesFile = "batches.meta.txt",
        LabelRanges = [10],
        ClassNames = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    };

    /// <summary>CIFAR-100: a byte for the coarse label (unused here), one for the fine label.</summary>
    public static CifarFormat Cifar100 { get; } = new()
    {
        Key = "cifar100",
        Name = "CIFAR-100",
        Folder = "cifar-100-binary",
        Archive = "cifar-100-binary.tar.gz",
        ArchiveMd5 = "03b5dce01913d631647c71ecec9e9cb8",
        TrainFiles = ["train.bin"],
        TestFile = "test.bin",
        NamesFile = "fine_label_names.txt",
        LabelRanges = [20, 100],
        ClassNames =
        [
            "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
            "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
            "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
            "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
            "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
            "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
            "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
            "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
            "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
            "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
        ],
    };

    /// <summary>The layout of a data set; null if it is not in this format.</summary>
    public static CifarFormat? ForDataset(DatasetKind dataset) => dataset switch
    {
        DatasetKind.Cifar10 => Cifar10,
        DatasetKind.Cifar100 => Cifar100,
        _ => null,
    };

    /// <summary>Its name in configurations and commands.</summary>
    public required string Key { get; init; }

    /// <summary>Its display name.</summary>
    public required string Name { get; init; }

    /// <summary>The folder inside the archive.</summary>
    public required string Folder { get; init; }

    /// <summary>The archive at <see cref="Source"/>.</summary>
    public required string Archive { get; init; }

    /// <summary>The archive's published MD5 sum, in lower-case hexadecimal.</summary>
    public required string ArchiveMd5 { get; init; }

    /// <summary>The files of the training set, in order; all contain the same number of images.</summary>
    public required IReadOnlyList<string> TrainFiles { get; init; }

    /// <summary>The file of the test set.</summary>
    public required string TestFile { get; init; }

    /// <summary>The file with one class name per line; optional.</summary>
    public required string NamesFile { get; init; }

    /// <summary>The number of labels of each label byte; the last byte is the class.</summary>
    public required IReadOnlyList<int> LabelRanges { get; init; }

    /// <summary>The classes' names, by label.</summary>
    public required IReadOnlyList<string> ClassNames { get; init; }

    /// <summary>Bytes per record.</summary>
    public int RecordBytes => LabelRanges.Count + ImageBytes;

    /// <summary>The number of images in the original training set.</summary>
    public int TrainImages { get; init; } = 50_000;

    /// <summary>The number of images in the original test set.</summary>
    public int TestImages { get; init; } = 10_000;

    /// <summary>Tells a user who does not have the data set where to get it and what to do.</summary>
    public string Advice
        => $"Download {Name} with: {SelfProcess.CommandLine("data", Key, "--data", "DIR")}; or unpack {Archive} from {Source} and give the "
            + "folder with --data DIR";

    /// <summary>All files that the data set needs.</summary>
    internal IReadOnlyList<string> Files => [.. TrainFiles, TestFile];

    internal static int ImageBytes => 3 * ImageSet.Side * ImageSet.Side;

    /// <summary>The length of one of the original <see cref="Files"/> in bytes.</summary>
    internal long FileBytes(string file) => (long)(file == TestFile ? TestImages : TrainImages / TrainFiles.Count) * RecordBytes;
}
