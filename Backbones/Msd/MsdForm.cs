namespace Imta.MetaWeight.Backbones.Msd;

/// <summary>What differs between the published MSDNets for the two kinds of images.</summary>
/// <param name="Images">Their size, in words.</param>
/// <param name="Scales">Scales, so that an exit's two strides and its pooling take the coarsest one to 1×1.</param>
/// <param name="HasStem">Whether the first layer begins with a 7×7 convolution and a pooling, both of stride 2.</param>
internal sealed record MsdForm(string Images, int Scales, bool HasStem)
{
    /// <summary>32×32, 16×16, 8×8.</summary>
    private static readonly MsdForm Cifar = new("32×32", 3, HasStem: false);

    /// <summary>56×56, 28×28, 14×14, 7×7.</summary>
    private static readonly MsdForm ImageNet = new("224×224", 4, HasStem: true);

    public static MsdForm Of(ImageKind images) => images == ImageKind.ImageNet ? ImageNet : Cifar;
}
