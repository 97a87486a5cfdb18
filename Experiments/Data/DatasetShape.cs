using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>What a network needs to know about a data set before it is read.</summary>
/// <param name="Images">The kind of its images.</param>
/// <param name="Side">Their height and width at the network's input, in pixels.</param>
/// <param name="Classes">The number of classes C.</param>
internal sealed record DatasetShape(ImageKind Images, int Side, int Classes)
{
    private const int DefaultClasses = 1000; // ImageNet's

    public static DatasetShape For(DataOptions data) => data.Dataset switch
    {
        DatasetKind.Cifar10 => new(ImageKind.Cifar, ImageSet.Side, CifarFormat.Cifar10.ClassNames.Count),
        DatasetKind.Cifar100 => new(ImageKind.Cifar, ImageSet.Side, CifarFormat.Cifar100.ClassNames.Count),
        DatasetKind.Imagenet => new(ImageKind.ImageNet, RandomCrop.Side, data.Classes ?? DefaultClasses),
        _ => new(ImageKind.Cifar, ImageSet.Side, GeneratedImages.Classes),
    };
}
