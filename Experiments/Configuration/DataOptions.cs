using System.ComponentModel;
using System.ComponentModel.DataAnnotations;

namespace Imta.MetaWeight.Experiments.Configuration;

/// <summary>The data sets.</summary>
public enum DatasetKind
{
    /// <summary>Images made on the spot, in CIFAR's shape, of known difficulty.</summary>
    Generated,

    /// <summary>CIFAR-10: 50,000 and 10,000 images, 10 classes.</summary>
    Cifar10,

    /// <summary>CIFAR-100: 50,000 and 10,000 images, 100 classes.</summary>
    Cifar100,

    /// <summary>ImageNet, 1,000 classes at 224×224: networks for it can be built and counted; there is no reader of its images yet.</summary>
    Imagenet,
}

/// <summary>How the number of training images falls over the classes.</summary>
public enum ImbalanceProfile
{
    /// <summary>Not at all.</summary>
    None,

    /// <summary>Exponentially, the last class having 1/factor of the first's: long-tailed.</summary>
    Exponential,

    /// <summary>The second half of the classes has 1/factor of the first half's.</summary>
    Step,
}

/// <summary>The order of the classes along an <see cref="ImbalanceProfile"/>.</summary>
public enum ClassOrder
{
    /// <summary>Class 0 is the largest.</summary>
    Index,

    /// <summary>By chance of the run's seed.</summary>
    Shuffle,
}

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Which images a run sees.</summary>
public sealed record DataOptions
{
    [Description("Data set; networks for imagenet can be built and counted, its images cannot be read yet")]
    public DatasetKind Dataset { get; init; } = DatasetKind.Generated;

    [Description("Folder of the data set's files in the official binary layout; generated data needs none")]
    [RegularExpression(@"[^\p{Cc}]+", ErrorMessage = "a folder")]
    public string? Root { get; init; }

    [Description("Images held out for validation out of 50,000 training images, balanced over classes; of fewer the same share; 0: none")]
    [Range(0, int.MaxValue)]
    public int Validation { get; init; } = 5000;

    [Description("Images of the training set that are used, balanced over classes, validation included; null: all")]
    [Range(1, int.MaxValue)]
    public int? TrainLimit { get; init; }

    [Description("Images of the test set that are used; null: all")]
    [Range(1, int.MaxValue)]
    public int? TestLimit { get; init; }

    [Description("Whether training images are padded by 4 pixels, cropped at random and flipped")]
    public bool Augment { get; init; } = true;

    public ImbalanceOptions Imbalance { get; init; } = new();
}

/// <summary>Class-imbalanced training data (Cui et al., CVPR 2019); validation, meta and test data stay balanced.</summary>
public sealed record ImbalanceOptions
{
    [Description("How many training images the classes keep: as they are, falling exponentially from class to class, or all and few by halves")]
    public ImbalanceProfile Type { get; init; } = ImbalanceProfile.None;

    [Description("Images of the largest class for each of the smallest")]
    [Range(1.0, 500.0)]
    public double Factor { get; init; } = 100;

    [Description("Which classes are large: those of the lowest index, or by chance of the seed")]
    public ClassOrder Order { get; init; } = ClassOrder.Index;
}
