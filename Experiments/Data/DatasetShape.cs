using Imta.MetaWeight.Backbones.Exits;
using Imta.MetaWeight.Experiments.Configuration;
using Imta.MetaWeight.Experiments.Data.Pictures;

namespace Imta.MetaWeight.Experiments.Data;

/// <summary>What a network needs to know about a data set before it is read.</summary>
/// <param name="Images">The kind of its images.</param>
/// <param name="Classes">The number of classes C.</param>
internal sealed record DatasetShape(ImageKind Images, int Classes)
{
    private const int DefaultClasses = 1000; // ImageNet's

    /// <summary>Height and width of the images at the network's input, in pixels.</summary>
    public int Side => Images.Side;

    /// <summary>How image files are turned into such images in evaluation.</summary>
    public ImageTransform Transform => Images.HasStem ? ImageTransform.ImageNet : new ImageTransform(Side, Side);

    /// <exception cref="UsageException">The number of classes is not known.</exception>
    public static DatasetShape For(DataOptions data) => data.Dataset switch
    {
        DatasetKind.Cifar10 => new(ImageKind.Cifar, CifarFormat.Cifar10.ClassNames.Count),
        DatasetKind.Cifar100 => new(ImageKind.Cifar, CifarFormat.Cifar100.ClassNames.Count),
        DatasetKind.Imagenet => new(ImageKind.ImageNet, data.Classes ?? DefaultClasses),
        DatasetKind.Pictures => new(
            new ImageKind(data.Side ?? ImageKind.Cifar.Side, HasStem: false), data.Classes ?? throw PictureFolders.WithoutClasses()),
        _ => new(ImageKind.Cifar, GeneratedImages.Classes),
    };
}
