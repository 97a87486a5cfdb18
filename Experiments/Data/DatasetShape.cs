using Imta.MetaWeight.Backbones;
using Imta.MetaWeight.Experiments.Configuration;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>What a network has to know of a data set, before anything of it is read.</summary>
/// <param name="Images">The kind of its images.</param>
/// <param name="Side">Their height and width, in pixels, as the network sees them.</param>
/// <param name="Classes">C.</param>
internal sealed record DatasetShape(ImageKind Images, int Side, int Classes)
{
    public static DatasetShape Of(DatasetKind dataset) => dataset switch
    {
        DatasetKind.Cifar10 => new(ImageKind.Cifar, ImageSet.Side, CifarFormat.Cifar10.ClassNames.Count),
        DatasetKind.Cifar100 => new(ImageKind.Cifar, ImageSet.Side, CifarFormat.Cifar100.ClassNames.Count),
        DatasetKind.Imagenet => new(ImageKind.ImageNet, 224, 1000),
        _ => new(ImageKind.Cifar, ImageSet.Side, GeneratedImages.Classes),
    };
}
