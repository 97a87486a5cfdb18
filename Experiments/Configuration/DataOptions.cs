using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>The data sets.</summary>
internal enum DatasetKind
{
    /// <summary>Images generated on the fly, in CIFAR's format, with known difficulty.</summary>
    Generated,

    /// <summary>CIFAR-10: 50,000 training and 10,000 test images, 10 classes.</summary>
    Cifar10,

    /// <summary>CIFAR-100: 50,000 training and 10,000 test images, 100 classes.</summary>
    Cifar100,

    /// <summary>
    /// ImageNet: folders train and val with a folder of pictures for each class, 1,281,167 and 50,000 pictures of 1,000 classes,
    /// at 224×224.
    /// </summary>
    Imagenet,

    /// <summary>
    /// The user's own pictures: folders train, and test or val, with a folder of pictures for each class; resized to a small side, kept in
    /// memory and augmented like CIFAR's.
    /// </summary>
    Pictures,
}

/// <summary>How the number of training images varies over the classes.</summary>
internal enum ImbalanceProfile
{
    /// <summary>No imbalance.</summary>
    None,

    /// <summary>Exponential, the last class having 1/factor as many as the first: long-tailed.</summary>
    Exponential,

    /// <summary>The second half of the classes has 1/factor as many images as the first half.</summary>
    Step,
}

/// <summary>The order of the classes along an <see cref="ImbalanceProfile"/>.</summary>
internal enum ClassOrder
{
    /// <summary>Class 0 is the largest.</summary>
    Index,

    /// <summary>Shuffled by the run's seed.</summary>
    Shuffle,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Which images a run sees.</summary>
internal sealed record DataOptions
{
    [Description("Data set")]
    public DatasetKind Dataset { get; init; } = DatasetKind.Generated;

    [Description(
        "Folder of the data set's files: CIFAR's in the official binary layout, ImageNet's and pictures' in folders by class; "
        + "generated data needs none")]
    [RegularExpression(@"[^\p{Cc}]+", ErrorMessage = "a folder")]
    public string? Root { get; init; }

    [Description(
        "Images held out for validation, balanced over classes, of 50,000 training images (ImageNet: 1,281,167) or more; of fewer, the "
        + "same share; 0: none")]
    [Range(0, int.MaxValue)]
    public int Validation { get; init; } = 5000;

    [Description(
        "Number of classes for image folders (imagenet, pictures); null: the data set's own number, or for pictures the number of "
        + "folders")]
    [Range(2, 100_000)]
    public int? Classes { get; init; }

    [Description("Height and width in pixels to which pictures are resized and cropped; null: 32")]
    [Range(8, 512)]
    public int? Side { get; init; }

    [Description("Number of training-set images to use, balanced over classes, validation included; null: all")]
    [Range(1, int.MaxValue)]
    public int? TrainLimit { get; init; }

    [Description("Number of test images to use; null: all")]
    [Range(1, int.MaxValue)]
    public int? TestLimit { get; init; }

    [Description(
        "Whether training images are randomly cropped and flipped: CIFAR and pictures padded by 1/8 of the side, ImageNet by random "
        + "resized crop (8 to 100 % of the area)")]
    public bool Augment { get; init; } = true;

    [Description("Threads that decode image files (does not affect results); 0: as many as compute threads")]
    [Range(0, 4096)]
    public int Workers { get; init; }

    public ImbalanceOptions Imbalance { get; init; } = new();
}

/// <summary>Class-imbalanced training data (Cui et al., CVPR 2019); validation, meta and test data stay balanced.</summary>
internal sealed record ImbalanceOptions
{
    [Description(
        "Class-imbalance profile: none, exponential decay over classes, or step (half of the classes keep all images, the others "
        + "1/factor)")]
    public ImbalanceProfile Type { get; init; } = ImbalanceProfile.None;

    [Description("Imbalance factor: image count of the largest class divided by that of the smallest")]
    [Range(1.0, 500.0)]
    public double Factor { get; init; } = 100;

    [Description("Which classes are large: those with the lowest index, or a random order given by the seed")]
    public ClassOrder Order { get; init; } = ClassOrder.Index;
}
