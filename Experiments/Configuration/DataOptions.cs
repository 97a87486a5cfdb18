using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>The data sets.</summary>
internal enum DatasetKind
{
    /// <summary>Images made on the spot, in CIFAR's shape, of known difficulty.</summary>
    Generated,

    /// <summary>CIFAR-10: 50,000 and 10,000 images, 10 classes.</summary>
    Cifar10,

    /// <summary>CIFAR-100: 50,000 and 10,000 images, 100 classes.</summary>
    Cifar100,

    /// <summary>
    /// ImageNet: folders train and val with a folder of JPEG or PNG files for each class, 1,281,167 and 50,000 pictures of 1,000 classes,
    /// at 224×224.
    /// </summary>
    Imagenet,
}

/// <summary>How the number of training images falls over the classes.</summary>
internal enum ImbalanceProfile
{
    /// <summary>Not at all.</summary>
    None,

    /// <summary>Exponentially, the last class having 1/factor of the first's: long-tailed.</summary>
    Exponential,

    /// <summary>The second half of the classes has 1/factor of the first half's.</summary>
    Step,
}

/// <summary>The order of the classes along an <see cref="ImbalanceProfile"/>.</summary>
internal enum ClassOrder
{
    /// <summary>Class 0 is the largest.</summary>
    Index,

    /// <summary>By chance of the run's seed.</summary>
    Shuffle,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Which images a run sees.</summary>
internal sealed record DataOptions
{
    [Description("Data set")]
    public DatasetKind Dataset { get; init; } = DatasetKind.Generated;

    [Description(
        "Folder of the data set's files: CIFAR's in the official binary layout, ImageNet's folders train and val; "
        + "generated data needs none")]
    [RegularExpression(@"[^\p{Cc}]+", ErrorMessage = "a folder")]
    public string? Root { get; init; }

    [Description(
        "Images held out for validation of the whole training set (50,000; ImageNet's 1,281,167), balanced over classes; of "
        + "fewer the same share; 0: none")]
    [Range(0, int.MaxValue)]
    public int Validation { get; init; } = 5000;

    [Description("Classes of folders in ImageNet's layout that have other ones; null: the data set's own number")]
    [Range(2, 100_000)]
    public int? Classes { get; init; }

    [Description("Images of the training set that are used, balanced over classes, validation included; null: all")]
    [Range(1, int.MaxValue)]
    public int? TrainLimit { get; init; }

    [Description("Images of the test set that are used; null: all")]
    [Range(1, int.MaxValue)]
    public int? TestLimit { get; init; }

    [Description(
        "Whether training images are cropped at random and flipped: CIFAR's padded by 4 pixels, of pictures 8 to 100 % "
        + "of the area, resized")]
    public bool Augment { get; init; } = true;

    [Description("Threads that decode pictures, which changes no number; 0: as many as compute")]
    [Range(0, 4096)]
    public int Workers { get; init; }

    public ImbalanceOptions Imbalance { get; init; } = new();
}

/// <summary>Class-imbalanced training data (Cui et al., CVPR 2019); validation, meta and test data stay balanced.</summary>
internal sealed record ImbalanceOptions
{
    [Description(
        "How many training images the classes keep: as they are, falling exponentially from class to class, or "
        + "all and few by halves")]
    public ImbalanceProfile Type { get; init; } = ImbalanceProfile.None;

    [Description("Images of the largest class for each of the smallest")]
    [Range(1.0, 500.0)]
    public double Factor { get; init; } = 100;

    [Description("Which classes are large: those of the lowest index, or by chance of the seed")]
    public ClassOrder Order { get; init; } = ClassOrder.Index;
}
