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

#pragma warning disable CS1591 // The description of a setting is its documentation.

/// <summary>Which images a run sees.</summary>
public sealed record DataOptions
{
    [Description("Data set; networks for imagenet can be built and counted, its images cannot be read yet")]
    public DatasetKind Dataset { get; init; } = DatasetKind.Generated;

    [Description("Folder of the data set's files in the official binary layout; generated data needs none")]
    [RegularExpression(@"[^\p{Cc}]+", ErrorMessage = "a folder")]
    public string? Root { get; init; }

    [Description("Images held out for validation out of 50,000 training images, balanced over classes; out of fewer images the same share")]
    [Range(1, int.MaxValue)]
    public int Validation { get; init; } = 5000;

    [Description("Images of the training set that are used, balanced over classes, validation included; null: all")]
    [Range(1, int.MaxValue)]
    public int? TrainLimit { get; init; }

    [Description("Images of the test set that are used; null: all")]
    [Range(1, int.MaxValue)]
    public int? TestLimit { get; init; }

    [Description("Whether training images are padded by 4 pixels, cropped at random and flipped")]
    public bool Augment { get; init; } = true;
}
